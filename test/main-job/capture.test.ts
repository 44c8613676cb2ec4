/** What the engine counted is what was settled: the capture rate through the whole stack, and what takes from it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { backendsSetting } from "#shared/backends.ts";
import { connect } from "#shared/db.ts";
import type { LogLine } from "#shared/log.ts";
import { createEngines, type Engines } from "../../functions/reconcile/engines.ts";
import { createHandler } from "../../functions/reconcile/handler.ts";
import { createMetrics } from "../../functions/reconcile/metrics.ts";
import { newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, inParallel, send, type Send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

let stack: Stack;
let customer: Customer;
let engines: Engines;
/** By the database's clock, when this file began: older readings are other tests'. */
let beganAt: Date;

beforeAll(async () => {
  stack = sharedStack();
  customer = await newCustomer(stack);
  engines = createEngines(backendsSetting.parse(stack.environmentOf("reconcile").backends));
  await waitFor("the engine to be idle", async () => (await stack.engine.counts()).open === 0);
  await settled(stack);
  await aMoment();
  beganAt = await databaseNow();
  await reconcile();
});
afterAll(async () => {
  await engines.close();
  await stack.close();
});

async function databaseNow(): Promise<Date> {
  const [row] = await stack.sql<{ now: Date }[]>`select clock_timestamp() as now`;
  return row!.now;
}

/** Settles when the database's clock is past all that has ended so far: latencies are whole milliseconds. */
async function aMoment(): Promise<void> {
  const from = (await databaseNow()).getTime();
  await waitFor("the database's clock to go on", async () => (await databaseNow()).getTime() > from + 50);
}

/** A run of reconcile, as the stack has it but for one thing: it knows that all calls are settled. */
async function reconcile() {
  await aMoment();
  const secret = join(stack.environmentOf("reconcile").secret_mount_path!, "database-reconcile");
  const lines: LogLine[] = [];
  const metrics = createMetrics();
  const handler = createHandler({
    open: () => connect({ url: readFileSync(secret, "utf8").trim(), connections: 1 }),
    engines,
    metrics,
    log: (line) => void lines.push(line),
    settledAfterMs: 1,
    // From the first reading of this file, with room for the time that a run takes.
    windowMs: Date.now() - beganAt.getTime() + 1_000,
    captureRateMin: 0.98,
    captureRateMax: 1.02,
  });
  expect((await handler(new Request("http://function/", { method: "POST" }))).status).toBe(200);
  const text = await metrics.text();
  const rates = [...text.matchAll(/^epithre_reconcile_capture_rate\{model="([^"]+)",direction="(\w+)"\} (\S+)$/gm)];
  return { rates: Object.fromEntries(rates.map(([, model, direction, rate]) => [`${model} ${direction}`, Number(rate)])), lines };
}

const calls: Omit<Send, "url" | "key">[] = [
  { body: chatBody("a question of some length") },
  { body: chatBody("[[simulate tokens=30]]", { stream: true }) },
  { body: chatBody("[[simulate tokens=12 interval_ms=3]]", { stream: true, stream_options: { include_usage: true } }) },
  { body: chatBody("choose", { n: 3 }) },
  { body: chatBody("[[simulate hang after=7]]", { stream: true }), leaveAfterDeltas: 7 },
  { body: chatBody("[[simulate reset after=5]]", { stream: true }) },
  { path: "/v1/completions", body: { model: "simulated-chat", prompt: ["one", "two"] } },
  { path: "/v1/embeddings", body: { model: "simulated-embedding", input: ["a", "bcdef"] } },
  { path: "/v1/images/generations", body: { model: "simulated-image", prompt: "lake" } },
];

async function callAll(times: number): Promise<void> {
  const plan = Array.from({ length: times }, () => calls).flat();
  await inParallel(plan, 8, (each) => send({ url: stack.url, key: customer.key, ...each }));
  await waitFor("the engine to be idle", async () => (await stack.engine.counts()).open === 0);
  await settled(stack);
}

describe("the capture rate", () => {
  it("is exactly 1 after mixed calls, partial ones among them", async () => {
    await callAll(20);
    const { rates, lines } = await reconcile();
    expect(rates).toEqual({ "simulated-chat prompt": 1, "simulated-chat completion": 1, "simulated-embedding prompt": 1 });
    expect(lines).toEqual([]);
    const [row] = await stack.sql`select sum(engine_completion_tokens)::int as tokens from reconciliations where since >= ${beganAt}`;
    expect(row!.tokens).toBeGreaterThan(1_000);
  });

  it("falls below 1 when a settlement is missing, and the operator is told how much", async () => {
    await callAll(10);
    const events = await usageOf(stack, customer.accountId);
    const ids = events.slice(-60).filter(({ model }) => model === "simulated-chat").map(({ id }) => id as string);
    const [lost] = await stack.sql`
      with gone as (delete from usage_events where id = any (${ids}::uuid[]) returning prompt_tokens, completion_tokens)
      select sum(prompt_tokens)::int as prompt, sum(completion_tokens)::int as completion from gone
    `;
    const { rates, lines } = await reconcile();
    expect(rates["simulated-chat prompt"]).toBeLessThan(1);
    expect(rates["simulated-chat completion"]).toBeLessThan(1);
    expect(rates["simulated-embedding prompt"]).toBe(1);
    expect(lines).toMatchObject([{ at: "capture_out_of_band", models: 1, gapTokens: lost!.prompt + lost!.completion }]);
  });

  it("falls below 1 when the engine worked for somebody who passed the proxy by", async () => {
    const before = (await reconcile()).rates["simulated-embedding prompt"];
    expect(before).toBe(1);
    await fetch(`${stack.engine.url}/v1/embeddings`, { method: "POST", body: JSON.stringify({ model: "simulated-embedding", input: "abcd" }) });
    expect((await reconcile()).rates["simulated-embedding prompt"]).toBeLessThan(1);
  });
});
