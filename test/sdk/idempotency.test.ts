/** The official SDK, unchanged, against the whole stack: retries with an Idempotency-Key are charged once. */
import { randomUUID } from "node:crypto";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { clientWith, newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const model = "simulated-chat";
let stack: Stack;
let customer: Customer;

beforeAll(() => {
  stack = sharedStack();
});
beforeEach(async () => {
  await stack.engine.reset();
  customer = await newCustomer(stack);
});
afterAll(() => stack.close());

/** A client that tries again, and how often it called. */
function patientClient(apiKey: string) {
  const calls: (number | undefined)[] = [];
  const client = clientWith(stack, apiKey, {
    maxRetries: 2,
    fetch: async (...given: Parameters<typeof fetch>) => {
      const response = await fetch(...given);
      calls.push(response.status);
      return response;
    },
  });
  return { client, calls };
}

const chat = (client: OpenAI, idempotencyKey: string, content = "hello") =>
  client.chat.completions.create({ model, messages: [{ role: "user", content }] }, { headers: { "Idempotency-Key": idempotencyKey } });

async function conflict(call: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.ConflictError>> {
  try {
    await call;
  } catch (thrown) {
    if (thrown instanceof OpenAI.ConflictError) return thrown;
    throw thrown;
  }
  throw new Error("Expected a conflict: the call was answered");
}

/** The only usage event of the customer's. */
async function onlyEvent() {
  await settled(stack);
  const rows = await usageOf(stack, customer.accountId);
  expect(rows).toHaveLength(1);
  return rows[0]!;
}

describe("a retry with the same Idempotency-Key", () => {
  it("after a completed request is a conflict that names its charge; the SDK does not try again", async () => {
    const { client, calls } = patientClient(customer.key);
    await chat(client, "once");
    for (const content of ["hello", "another body"]) {
      const error = await conflict(chat(client, "once", content));
      const event = await onlyEvent();
      expect(error.code).toBe("idempotent_replay");
      expect(error.message).toContain(event.id);
      expect([error.headers!.get("x-epithre-original-request-id"), error.headers!.get("x-epithre-original-cost-micro-rupiah")]).toEqual([
        event.id, String(event.cost_micro),
      ]);
    }
    expect(calls).toEqual([200, 409, 409]);
    expect((await stack.engine.counts()).total.requests).toBe(1);
  });

  it("is a conflict while the first runs, on the SDK's own option for the header", async () => {
    const { client, calls } = patientClient(customer.key);
    // What the SDK's option needs to be sent: the name of a header.
    Object.assign(client, { idempotencyHeader: "Idempotency-Key" });
    const create = (content: string) =>
      client.chat.completions.create({ model, messages: [{ role: "user", content }] }, { idempotencyKey: "mine" });
    const first = create("[[simulate tokens=20 interval_ms=100]]");
    await waitFor("the first to run", async () => (await stack.engine.counts()).total.requests === 1);
    const error = await conflict(create("hello"));
    expect([error.code, error.headers!.get("x-should-retry")]).toEqual(["idempotency_in_progress", "false"]);
    const { response } = await first.withResponse();
    expect(error.headers!.get("x-epithre-original-request-id")).toBe(response.headers.get("x-request-id"));
    expect(calls).toEqual([409, 200]);
    await onlyEvent();
  });

  it.each([400, 500, 503])("after an engine's %i without a charge is a new request", async (status) => {
    const { client, calls } = patientClient(customer.key);
    await stack.engine.behave({ next: [{ status }] });
    const first = await chat(client, "again").catch((thrown: unknown) => thrown);
    // The SDK itself tried again after the others.
    if (status === 400) expect(first).toBeInstanceOf(OpenAI.BadRequestError);
    if (status === 400) await chat(client, "again");
    expect(calls).toEqual([status === 503 ? 503 : status === 400 ? 400 : 502, 200]);
    await conflict(chat(client, "again"));
    const rows = await usageOf(stack, customer.accountId);
    expect(rows.filter((row) => row.cost_micro > 0n)).toHaveLength(1);
  });

  it("after a stream that its caller left names what was charged for it", async () => {
    const key = "left";
    const body = chatBody("[[simulate tokens=50 interval_ms=20]]", { stream: true });
    await send({ url: stack.url, key: customer.key, body, headers: { "idempotency-key": key }, leaveAfterDeltas: 3 });
    await waitFor("the charge", async () => (await usageOf(stack, customer.accountId)).length === 1);
    const event = await onlyEvent();
    expect([event.status, event.cost_micro > 0n]).toEqual([499, true]);
    const error = await conflict(chat(customer.client, key));
    expect(error.message).toContain("ended with status 499");
    expect(error.headers!.get("x-epithre-original-cost-micro-rupiah")).toBe(String(event.cost_micro));
  });

  it("after a JSON call that its caller left before the answer is a new request", async () => {
    const impatient = clientWith(stack, customer.key, { timeout: 300 });
    await expect(chat(impatient, "slow", "[[simulate hang]]")).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await chat(customer.client, "slow");
    await settled(stack);
    expect((await usageOf(stack, customer.accountId)).map((row) => [row.status, row.cost_micro > 0n])).toEqual([[499, false], [200, true]]);
  });

  it("is told of the first also when that took the last of the money", async () => {
    const poor = await newCustomer(stack, {}, 2_000_000);
    // Without a limit of its own a call's worst case is far more than it costs.
    const body = { model, messages: [{ role: "user" as const, content: "x" }], max_tokens: 60 };
    const create = (key: string) => poor.client.chat.completions.create(body, { headers: { "Idempotency-Key": key } });
    await create("first");
    await waitFor("the money to be gone", () => create(randomUUID()).then(() => false, (thrown) => thrown.status === 402));
    expect((await conflict(create("first"))).code).toBe("idempotent_replay");
  });

  it("is nothing to another account, and the same to another key of its account", async () => {
    const other = await newCustomer(stack);
    await chat(customer.client, "shared");
    await chat(other.client, "shared");
    const { key } = await stack.operator.createKey(customer.accountId);
    await conflict(chat(clientWith(stack, key), "shared"));
    await onlyEvent();
  });

  it("counts on every endpoint that is metered", async () => {
    const headers = { "Idempotency-Key": "metered" };
    const { client } = customer;
    const calls: (() => PromiseLike<unknown>)[] = [
      () => client.completions.create({ model, prompt: "x" }, { headers: { "Idempotency-Key": "a" } }),
      () => client.embeddings.create({ model: "simulated-embedding", input: "x" }, { headers: { "Idempotency-Key": "b" } }),
      () => client.images.generate({ model: "simulated-image", prompt: "x" }, { headers: { "Idempotency-Key": "c" } }),
      () => client.images.edit({ model: "simulated-image", prompt: "x", image: new File(["x"], "x.png", { type: "image/png" }) }, { headers }),
    ];
    for (const call of calls) {
      await call();
      await conflict(call());
    }
    await settled(stack);
    expect(await usageOf(stack, customer.accountId)).toHaveLength(calls.length);
  });
});
