/** The official SDK, unchanged, against the whole stack: every class of error, retries and time-outs. */
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { generateKey } from "#shared/keys.ts";
import { clientWith, newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

const model = "simulated-chat";
let stack: Stack;
let customer: Customer;

beforeAll(async () => {
  stack = sharedStack();
  customer = await newCustomer(stack);
});
beforeEach(() => stack.engine.reset());
afterAll(() => stack.close());

function chat(client: OpenAI, content = "hello", more: object = {}) {
  return client.chat.completions.create({ model, messages: [{ role: "user", content }], ...more });
}

/** The error that a call fails with. */
async function failure(call: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (thrown) {
    if (thrown instanceof OpenAI.APIError) return thrown;
    throw thrown;
  }
  throw new Error("Expected the call to fail: it answered");
}

describe("AuthenticationError", () => {
  it.each([
    ["a malformed key", () => "ep_short"],
    ["a key of another provider", () => "sk-abcdefghijklmnopqrstuvwxyz"],
    ["an unknown key", () => generateKey()],
  ])("%s is invalid_api_key", async (_, key) => {
    const error = await failure(chat(clientWith(stack, key())));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect([error.status, error.code]).toEqual([401, "invalid_api_key"]);
  });

  it("no key at all is missing_api_key", async () => {
    const error = await failure(chat(clientWith(stack, "unused", { defaultHeaders: { authorization: null } })));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error.code).toBe("missing_api_key");
  });

  it("a revoked key is invalid_api_key within a second", async () => {
    const leaving = await newCustomer(stack);
    await chat(leaving.client);
    await stack.operator.revokeKey(leaving.keyId);
    const revokedAtMs = performance.now();
    const error = await waitFor("the key to stop", () => chat(leaving.client).then(() => undefined, (thrown) => thrown));
    expect(performance.now() - revokedAtMs).toBeLessThan(1_000);
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
  });
});

describe("PermissionDeniedError", () => {
  it("a key without the scope", async () => {
    const narrow = await newCustomer(stack, { scopes: ["embeddings"] });
    const error = await failure(chat(narrow.client));
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect(error.code).toBe("insufficient_permissions");
  });

  it("a key that may not use the model", async () => {
    const narrow = await newCustomer(stack, { models: ["simulated-embedding"] });
    const error = await failure(chat(narrow.client));
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
  });

  it("a suspended account", async () => {
    const suspended = await newCustomer(stack);
    await chat(suspended.client);
    await stack.operator.suspend(suspended.accountId);
    const error = await waitFor("the suspension", () => chat(suspended.client).then(() => undefined, (thrown) => thrown));
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect((error as { code: string }).code).toBe("account_suspended");
  });
});

describe("NotFoundError", () => {
  it("an unknown model", async () => {
    const error = await failure(chat(customer.client, "x", { model: "no-such-model" }));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect([error.code, error.param]).toEqual(["model_not_found", "model"]);
    expect(await failure(customer.client.models.retrieve("no-such-model"))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it("a route that does not exist", async () => {
    const error = await failure(customer.client.get("/nowhere"));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error.code).toBe("unknown_url");
  });
});

describe("BadRequestError", () => {
  it("a wrong type names its field and never quotes the value (content.none)", async () => {
    const error = await failure(chat(customer.client, "x", { temperature: "canary-in-a-field" }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.param).toBe("temperature");
    expect(JSON.stringify(error.error)).not.toContain("canary-in-a-field");
  });

  it.each(["context", "context_new"])("the engine's context error, worded as %s, is context_length_exceeded", async (words) => {
    const error = await failure(chat(customer.client, `[[simulate error=${words}]]`));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.code).toBe("context_length_exceeded");
  });

  it("a prompt beyond the context is context_length_exceeded", async () => {
    const error = await failure(chat(customer.client, "x".repeat(2_000), { model: "simulated-chat-small" }));
    expect([error.status, error.code]).toEqual([400, "context_length_exceeded"]);
  });

  it("more output than the model can is context_length_exceeded", async () => {
    const error = await failure(chat(customer.client, "x", { max_completion_tokens: 1_000_000 }));
    expect([error.status, error.code]).toEqual([400, "context_length_exceeded"]);
  });

  it("the engine's own words about a request do not reach the caller (content.none)", async () => {
    const error = await failure(chat(customer.client, "[[simulate status=400 echo]] canary-from-engine"));
    expect([error.status, error.code]).toEqual([400, "backend_rejected"]);
    expect(JSON.stringify(error.error)).not.toContain("canary-from-engine");
  });
});

describe("RateLimitError", () => {
  it("beyond the key's requests per minute, with when to try again", async () => {
    const limited = await newCustomer(stack, { requestsPerMinute: 2 });
    const { response } = await chat(limited.client).withResponse();
    expect(response.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    await chat(limited.client);
    const error = await failure(chat(limited.client));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error.code).toBe("rate_limit_exceeded");
    expect(Number(error.headers!.get("retry-after"))).toBeGreaterThan(0);
  });
});

describe("insufficient_quota", () => {
  it("is 402 for an account without money, and the engine is not asked", async () => {
    const broke = await newCustomer(stack, {}, 0);
    const error = await failure(chat(broke.client));
    expect([error.status, error.code, error.type]).toEqual([402, "insufficient_quota", "insufficient_quota"]);
    expect((await stack.engine.counts()).total.requests).toBe(0);
  });
});

describe("InternalServerError and retries", () => {
  it("the SDK tries again as often as it was told, and the engine sees each try", async () => {
    const patient = clientWith(stack, customer.key, { maxRetries: 2 });
    const error = await failure(chat(patient, "[[simulate status=500]]"));
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error.code).toBe("backend_error");
    expect((await stack.engine.counts()).total).toMatchObject({ requests: 3, failed: 3 });
  });

  it("a retry that succeeds is answered, and charged once", async () => {
    const retrying = await newCustomer(stack);
    await stack.engine.behave({ next: [{ status: 503 }] });
    const answer = await chat(clientWith(stack, retrying.key, { maxRetries: 2 }));
    expect(answer.choices[0]!.message.content).toContain("simulated");
    const rows = await usageOf(stack, retrying.accountId);
    expect(rows.filter((row) => row.cost_micro > 0n)).toHaveLength(1);
    expect((await stack.engine.counts()).total).toMatchObject({ requests: 2, completed: 1 });
  });

  it("a full engine is 503 with when to try again", async () => {
    const error = await failure(chat(customer.client, "[[simulate status=503]]"));
    expect([error.status, error.code]).toEqual([503, "overloaded"]);
    expect(Number(error.headers!.get("retry-after"))).toBeGreaterThan(0);
  });

  it("an engine that breaks a stream off is an error of the stream, and what was delivered is charged", async () => {
    const unlucky = await newCustomer(stack);
    const stream = await unlucky.client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "[[simulate reset after=4]]" }],
      stream: true,
    });
    let text = "";
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    };
    const error = await failure(read());
    expect(error.code).toBe("backend_error");
    expect(text).toHaveLength(16);
    const row = await waitFor("the settlement", async () => (await usageOf(stack, unlucky.accountId))[0]);
    expect(row!.completion_tokens).toBe(4);
  });

  it.each(["end", "error_event"])("a stream that ends by %s is an error too", async (how) => {
    const stream = await customer.client.chat.completions.create({
      model,
      messages: [{ role: "user", content: `[[simulate ${how} after=2]]` }],
      stream: true,
    });
    const read = async () => {
      for await (const _ of stream);
    };
    expect((await failure(read())).code).toBe("backend_error");
  });

  it("an event of a stream that is no JSON never makes a whole answer", async () => {
    const stream = await customer.client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "[[simulate garbage after=2]]" }],
      stream: true,
    });
    const read = async () => {
      for await (const _ of stream);
    };
    await expect(read()).rejects.toThrow();
  });

  it.each(["negative", "nan", "huge", "text"])("usage=%s is never turned into money", async (fault) => {
    const unlucky = await newCustomer(stack);
    for (const stream of [false, true]) {
      const call = unlucky.client.chat.completions.create({
        model,
        messages: [{ role: "user", content: `[[simulate usage=${fault}]]` }],
        stream,
      } as OpenAI.ChatCompletionCreateParamsStreaming);
      await call.then(async (answer) => {
        if (stream) for await (const _ of answer);
      }).catch(() => {});
    }
    await settled(stack);
    expect((await usageOf(stack, unlucky.accountId)).map((row) => row.cost_micro)).toEqual([0n, 0n]);
  });
});

describe("time-outs", () => {
  it("a caller whose patience ends gets the SDK's own error, and the engine is let go", async () => {
    const impatient = clientWith(stack, customer.key, { timeout: 300 });
    const error = await failure(chat(impatient, "[[simulate hang]]"));
    expect(error).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await waitFor("the engine to be let go", async () => (await stack.engine.counts()).total.aborted === 1);
  });
});
