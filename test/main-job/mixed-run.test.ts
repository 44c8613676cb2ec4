/** The main job's books: what callers saw, what the engine produced and what was billed are the same numbers. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { balanceOf, newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Counts } from "#infra/local/simulated-backend/counts.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, inParallel, send, type Outcome, type Send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const requests = 2_000;
const callersAtOnce = 32;
const creditMicro = 50_000_000_000;

/** A kind of request: how it is sent, and what it must come to. */
interface Kind {
  name: string;
  /** Of 100. */
  share: number;
  send: Omit<Send, "url" | "key">;
  ends: "complete" | "refused" | "left" | "broken";
}

/** Faults whose tokens are nobody's to pay go to a model of their own, so that the rest must add up exactly. */
const unpaid = "simulated-chat-small";

const stream = { stream: true };
const withUsage = { stream: true, stream_options: { include_usage: true } };

const kinds: Kind[] = [
  { name: "chat", share: 23, send: { body: chatBody("a question of some length") }, ends: "complete" },
  { name: "chat of 3 choices", share: 4, send: { body: chatBody("choose", { n: 3 }) }, ends: "complete" },
  { name: "stream", share: 18, send: { body: chatBody("[[simulate tokens=30]]", stream) }, ends: "complete" },
  { name: "slow stream with usage", share: 8, send: { body: chatBody("[[simulate tokens=12 interval_ms=3]]", withUsage) }, ends: "complete" },
  { name: "stream of 2 choices", share: 3, send: { body: chatBody("two", { ...withUsage, n: 2 }) }, ends: "complete" },
  { name: "completion", share: 4, send: { path: "/v1/completions", body: { model: "simulated-chat", prompt: ["one", "two"] } }, ends: "complete" },
  { name: "embedding", share: 8, send: { path: "/v1/embeddings", body: { model: "simulated-embedding", input: ["a", "bcdef"] } }, ends: "complete" },
  { name: "image", share: 3, send: { path: "/v1/images/generations", body: { model: "simulated-image", prompt: "lake", n: 2 } }, ends: "complete" },
  { name: "image edit", share: 2, send: { path: "/v1/images/edits", body: editForm() }, ends: "complete" },
  { name: "stream left", share: 6, send: { body: chatBody("[[simulate hang after=7]]", stream), leaveAfterDeltas: 7 }, ends: "left" },
  { name: "stream of 3 choices left", share: 2, send: { body: chatBody("[[simulate hang after=8]]", { ...stream, n: 3 }), leaveAfterDeltas: 8 }, ends: "left" },
  { name: "paced stream left", share: 1, send: { body: chatBody("[[simulate hang after=4 interval_ms=5]]", withUsage), leaveAfterDeltas: 4 }, ends: "left" },
  { name: "call left", share: 3, send: { body: chatBody("[[simulate hang]]", { model: unpaid }), leaveAfterMs: 60 }, ends: "left" },
  { name: "engine error", share: 4, send: { body: chatBody("[[simulate status=500]]") }, ends: "refused" },
  { name: "engine full", share: 2, send: { body: chatBody("[[simulate status=503]]", stream) }, ends: "refused" },
  { name: "engine refuses", share: 2, send: { body: chatBody("[[simulate status=400]]") }, ends: "refused" },
  { name: "stream reset", share: 3, send: { body: chatBody("[[simulate reset after=5]]", stream) }, ends: "broken" },
  { name: "stream ends early", share: 2, send: { body: chatBody("[[simulate end after=4]]", stream) }, ends: "broken" },
  { name: "wrong usage", share: 2, send: { body: chatBody("[[simulate usage=huge]]", { model: unpaid }) }, ends: "complete" },
];

function editForm(): FormData {
  const form = new FormData();
  form.set("model", "simulated-image");
  form.set("prompt", "add a boat");
  form.set("image", new Blob(["not looked at"], { type: "image/png" }), "photo.png");
  return form;
}

interface Sent {
  kind: Kind;
  customer: Customer;
  outcome: Outcome;
}

let stack: Stack;
let customers: Customer[];
let sent: Sent[];
let counts: Counts;
let rows: Map<string, Record<string, any>>;

beforeAll(async () => {
  stack = sharedStack();
  customers = await Promise.all(Array.from({ length: 5 }, () => newCustomer(stack, {}, creditMicro)));
  // Two keys of one account take from the same money.
  const second = await stack.operator.createKey(customers[0]!.accountId);
  const callers = [...customers, { ...customers[0]!, ...second }];
  await stack.engine.reset();

  const plan = Array.from({ length: requests }, (_, index) => ({ kind: kindAt(index), customer: callers[index % callers.length]! }));
  sent = await inParallel(plan, callersAtOnce, async ({ kind, customer }) => ({
    kind,
    customer,
    outcome: await send({ url: stack.url, key: customer.key, ...kind.send }),
  }));
  await waitFor("the engine to be idle", async () => (await stack.engine.counts()).open === 0);
  await settled(stack);
  counts = await stack.engine.counts();
  const all = await Promise.all(customers.map(({ accountId }) => usageOf(stack, accountId)));
  rows = new Map(all.flat().map((row) => [row.id, row]));
}, 120_000);
afterAll(() => stack.close());

/** Kinds in their shares, spread by a fixed stride that visits each of 100 places once. */
function kindAt(index: number): Kind {
  let place = (index * 37) % 100;
  for (const kind of kinds) {
    place -= kind.share;
    if (place < 0) return kind;
  }
  throw new Error("Cannot plan the run: the shares do not sum to 100");
}

const those = (ends: Kind["ends"]) => sent.filter(({ kind, outcome }) => kind.ends === ends && outcome.errorCode !== "overloaded");

describe("after 2,000 requests from six keys, with disconnects and engine faults", () => {
  it("each request ended as its kind says; only an engine in trouble may have turned some away", () => {
    const odd = sent.filter(({ kind, outcome }) => {
      if (outcome.errorCode === "overloaded") return false;
      if (kind.ends === "complete") return !outcome.complete;
      if (kind.ends === "refused") return outcome.complete || outcome.status === 200;
      if (kind.ends === "broken") return outcome.complete || outcome.errorCode !== "backend_error";
      return outcome.complete;
    });
    expect(odd.map(({ kind, outcome }) => ({ kind: kind.name, ...outcome }))).toEqual([]);
    expect(those("complete").length).toBeGreaterThan(requests / 2);
  });

  it("each complete answer has exactly one usage event, with the numbers that the caller was told (keep.usage)", () => {
    const wrong = those("complete").filter(({ customer, outcome }) => {
      const row = rows.get(outcome.requestId!);
      if (!row || row.status !== 200 || row.key_id !== customer.keyId) return true;
      const { usage } = outcome;
      if (!usage?.cost_micro_rupiah && usage?.cost_micro_rupiah !== 0) return false;
      return row.cost_micro !== BigInt(usage.cost_micro_rupiah);
    });
    expect(wrong.map(({ kind, outcome }) => ({ kind: kind.name, outcome, row: rows.get(outcome.requestId!) }))).toEqual([]);
  });

  it("a stream that was left or broke off is charged for what was delivered, once", () => {
    const cut = [...those("left"), ...those("broken")].filter(({ kind }) => kind.send.body instanceof FormData || (kind.send.body as { stream?: boolean }).stream);
    expect(cut.length).toBeGreaterThan(requests / 20);
    const wrong = cut.filter(({ outcome }) => rows.get(outcome.requestId!)?.completion_tokens !== outcome.deltas);
    expect(wrong.map(({ kind, outcome }) => ({ kind: kind.name, outcome, row: rows.get(outcome.requestId!) }))).toEqual([]);
  });

  it("nothing else was charged: calls refused, or left before an answer, cost nothing", () => {
    const paying = new Set([...those("complete"), ...those("left"), ...those("broken")].map(({ outcome }) => outcome.requestId));
    const others = [...rows.values()].filter((row) => !paying.has(row.id) && row.cost_micro > 0n);
    expect(others).toEqual([]);
  });

  it("there are as many usage events as requests that reached the engine", () => {
    expect(rows.size).toBe(counts.total.requests);
    const known = new Set(sent.map(({ outcome }) => outcome.requestId));
    const unknown = [...rows.keys()].filter((id) => !known.has(id)).length;
    // A caller who left before any answer was told no id.
    expect(unknown).toBeLessThanOrEqual(sent.filter(({ outcome }) => outcome.requestId === undefined).length);
  });

  it("tokens and images billed are those that the engine counted, model by model", () => {
    for (const model of ["simulated-chat", "simulated-embedding", "simulated-image"]) {
      const billed = [...rows.values()].filter((row) => row.model === model);
      const sum = (name: string) => billed.reduce((total, row) => total + Number(row[name]), 0);
      const { promptTokens, completionTokens, images } = counts.models[model]!;
      expect({ model, prompt: sum("prompt_tokens"), completion: sum("completion_tokens"), images: sum("images") }).toEqual({
        model,
        prompt: promptTokens,
        completion: completionTokens,
        images,
      });
    }
  });

  it("each cost is tokens times the price of the version that its row names", async () => {
    const [row] = await stack.sql`
      select count(*) as wrong
      from usage_events u join prices p on p.version = u.price_version
      where u.account_id = any (${customers.map(({ accountId }) => accountId)})
        and u.cost_micro <> (u.prompt_tokens - u.cached_tokens) * p.input_micro + u.cached_tokens * p.cached_input_micro
          + u.completion_tokens * p.output_micro + u.images * p.image_micro`;
    expect(row!.wrong).toBe(0n);
  });

  it("each balance is the credit minus the sum of costs, to the micro-rupiah", async () => {
    for (const { accountId } of customers) {
      const spent = (await usageOf(stack, accountId)).reduce((sum, row) => sum + (row.cost_micro as bigint), 0n);
      expect(spent).toBeGreaterThan(0n);
      expect(await balanceOf(stack, accountId)).toBe(BigInt(creditMicro) - spent);
    }
  });
});
