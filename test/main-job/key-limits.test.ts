/** Limits of a key hold over three replicas of the proxy, however uneven their load: rates within 5 %, budgets exactly. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { microPerRupiah } from "#shared/money.ts";
import { templateTokens } from "#infra/local/simulated-backend/models.ts";
import { startReplica, type Replica } from "../support/replica.ts";
import { newCustomer, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, inParallel, send, startLoad, type Outcome } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

/** Share of a limit that may go unused over three replicas; above it none may. */
const tolerance = 0.05;
/** Milliseconds: a changed limit holds on each replica. */
const effectiveWithinMs = 1_000;
/** Callers of each replica: all of the load on one of them, or nearly so, and some on each. */
const uneven = [12, 3, 1];

let stack: Stack;
let others: Replica[];
let replicas: string[];

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  others = await Promise.all([startReplica(stack), startReplica(stack)]);
  replicas = [`http://127.0.0.1:${stack.environmentOf("proxy").PORT}`, ...others.map(({ url }) => url)];
});
afterAll(async () => {
  await Promise.all(others.map((replica) => replica.stop()));
  await stack.close();
});

/** Keeps calling until every replica has refused for longer than slices lie anywhere; answers all outcomes. */
async function callUntilRefused({ key }: Customer, widths: number[], body: Record<string, unknown>): Promise<Outcome[]> {
  const startedAtMs = performance.now();
  const loads = widths.map((width, index) => startLoad(width, () => ({ url: replicas[index]!, key, body })));
  const lastCompleteAtMs = () => Math.max(...loads.flatMap(({ outcomes }) => outcomes.map((each) => (each.complete ? each.endedAtMs : 0))));
  await waitFor("the limit", () => loads.every(({ outcomes }) => outcomes.at(-1)?.errorCode === "rate_limit_exceeded"), 25_000);
  await waitFor("all slices to be used or given back", () => performance.now() - lastCompleteAtMs() > 6_000, 25_000);
  const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
  // All of it lies in one minute, or the limit says nothing.
  expect(performance.now() - startedAtMs).toBeLessThan(55_000);
  expect(new Set(outcomes.map(({ errorCode }) => errorCode))).toEqual(new Set([undefined, "rate_limit_exceeded"]));
  return outcomes;
}

describe("a limit of requests per minute on three replicas", () => {
  it.each([
    ["uneven load", 400, uneven],
    ["all load on one replica", 250, [8]],
  ])("admits as many, within 5 %%, with %s", async (_, requestsPerMinute, widths) => {
    const customer = await newCustomer(stack, { requestsPerMinute });
    const outcomes = await callUntilRefused(customer, widths, chatBody("rate", { max_tokens: 1 }));
    const admitted = outcomes.filter(({ complete }) => complete).length;
    expect(admitted).toBeLessThanOrEqual(requestsPerMinute);
    expect(admitted).toBeGreaterThanOrEqual(requestsPerMinute * (1 - tolerance));
    for (const { errorCode, retryAfter } of outcomes) {
      if (!errorCode) continue;
      expect(Number(retryAfter)).toBeGreaterThan(0);
      expect(Number(retryAfter)).toBeLessThanOrEqual(61);
    }
  }, 60_000);

  it("admits exactly as many when they are few", async () => {
    const customer = await newCustomer(stack, { requestsPerMinute: 3 });
    const calls = Array.from({ length: 30 }, (_, index) => send({ url: replicas[index % 3]!, key: customer.key, body: chatBody("few") }));
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter(({ complete }) => complete)).toHaveLength(3);
  });

  it("says in headers what is left, wherever it was used", async () => {
    const customer = await newCustomer(stack, { requestsPerMinute: 10, tokensPerMinute: 100_000 });
    const headers = [];
    for (let call = 0; call < 11; call += 1) {
      const response = await fetch(`${replicas[call % 3]}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${customer.key}`, "content-type": "application/json" },
        body: JSON.stringify(chatBody("headers", { max_tokens: 10 })),
      });
      await response.text();
      headers.push(response.headers);
    }
    expect(headers.map((each) => each.get("x-ratelimit-limit-requests"))).toEqual(Array(11).fill("10"));
    expect(headers.map((each) => each.get("x-ratelimit-remaining-requests"))).toEqual(["9", "8", "7", "6", "5", "4", "3", "2", "1", "0", "0"]);
    for (const each of headers) expect(each.get("x-ratelimit-reset-requests")).toMatch(/^(\d+s|1m[01]s)$/);
    expect(headers[0]!.get("x-ratelimit-limit-tokens")).toBe("100000");
    expect(Number(headers[9]!.get("x-ratelimit-remaining-tokens"))).toBeLessThan(100_000);
    expect(Number(headers[9]!.get("x-ratelimit-remaining-tokens"))).toBeGreaterThan(95_000);
    expect(headers[9]!.get("retry-after")).toBeNull();
    expect(Number(headers[10]!.get("retry-after"))).toBeGreaterThan(0);
  });

  it("can be changed: each replica keeps to the new one within a second", async () => {
    const customer = await newCustomer(stack, { requestsPerMinute: 1 });
    const answerOf = (url: string) => send({ url, key: customer.key, body: chatBody("changed", { max_tokens: 1 }) });
    await answerOf(replicas[0]!);
    for (const url of replicas) expect(await answerOf(url)).toMatchObject({ errorCode: "rate_limit_exceeded" });
    await stack.operator.changeLimits(customer.keyId, { requestsPerMinute: 100_000 });
    const changedAtMs = performance.now();
    await waitFor("all three to serve", async () => (await Promise.all(replicas.map(answerOf))).every(({ complete }) => complete));
    expect(performance.now() - changedAtMs).toBeLessThan(effectiveWithinMs);
  });
});

describe("a limit of tokens per minute on three replicas", () => {
  it("lets through as many, within 5 %", async () => {
    const tokensPerMinute = 10_000;
    const customer = await newCustomer(stack, { tokensPerMinute });
    const outcomes = await callUntilRefused(customer, uneven, chatBody("[[simulate interval_ms=2]]", { max_tokens: 20 }));
    const used = outcomes.reduce((sum, { usage }) => sum + (usage ? usage.prompt_tokens + usage.completion_tokens : 0), 0);
    expect(used).toBeLessThanOrEqual(tokensPerMinute * (1 + tolerance));
    expect(used).toBeGreaterThanOrEqual(tokensPerMinute * (1 - tolerance));
  }, 60_000);
});

describe("a monthly budget on three replicas", () => {
  const chatPrice = { inputMicro: 5_000, outputMicro: 20_000 };
  /** Slower than anyone waits for money, so that what one call does not use comes too late for the others. */
  const slow = chatBody("[[simulate tokens=20 interval_ms=250]]", { max_tokens: 20 });
  const worstCaseMicro = (JSON.stringify(slow).length + templateTokens) * chatPrice.inputMicro + 20 * chatPrice.outputMicro;

  async function budgetAt(url: string, { key }: Customer): Promise<{ amount: string; spent: string; renews_at: string }> {
    const response = await fetch(`${url}/v1/key`, { headers: { authorization: `Bearer ${key}` } });
    return ((await response.json()) as any).budget;
  }

  const micro = (rupiah: string) => Math.round(Number(rupiah) * microPerRupiah);

  it("for exactly 7 worst cases lets 7 of 300 parallel calls through, and says why not the others", async () => {
    const customer = await newCustomer(stack, { monthlyBudgetMicro: 7 * worstCaseMicro });
    const calls = Array.from({ length: 300 }, (_, index) => index);
    const outcomes = await inParallel(calls, calls.length, (index) => send({ url: replicas[index % 3]!, key: customer.key, body: slow }));
    expect(outcomes.filter(({ complete }) => complete)).toHaveLength(7);
    const refused = outcomes.filter(({ complete }) => !complete);
    expect(new Set(refused.map(({ status, errorCode }) => `${status} ${errorCode}`))).toEqual(new Set(["402 billing_hard_limit_reached"]));

    const events = await usageOf(stack, customer.accountId);
    const spentMicro = events.reduce((sum, { cost_micro }) => sum + Number(cost_micro), 0);
    for (const url of replicas) {
      const budget = await budgetAt(url, customer);
      expect(micro(budget.spent)).toBe(spentMicro);
      expect(micro(budget.amount)).toBe(7 * worstCaseMicro);
      expect(Date.parse(budget.renews_at)).toBeGreaterThan(Date.now());
    }
  }, 60_000);

  it("leaves the account's other keys alone, and is never overspent by many small calls", async () => {
    const budgetMicro = 40_000_000;
    const customer = await newCustomer(stack, { monthlyBudgetMicro: budgetMicro });
    const free = await stack.operator.createKey(customer.accountId);
    const body = chatBody("spend", { max_tokens: 20 });
    const loads = replicas.map((url) => startLoad(4, () => ({ url, key: customer.key, body })));
    const beside = startLoad(1, () => ({ url: replicas[1]!, key: free.key, body }));
    const isOver = (outcomes: Outcome[]) => outcomes.filter((each) => each.errorCode === "billing_hard_limit_reached").length > 5;
    await waitFor("the budget to end", () => loads.every(({ outcomes }) => isOver(outcomes)), 25_000);
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    expect((await beside.stop()).filter(({ complete }) => !complete)).toEqual([]);
    const spent = outcomes.reduce((sum, { complete, usage }) => sum + (complete ? usage!.cost_micro_rupiah : 0), 0);
    expect(spent).toBeLessThanOrEqual(budgetMicro);
    expect(spent).toBeGreaterThan(budgetMicro * 0.95);
    expect(new Set(outcomes.map(({ errorCode }) => errorCode))).toEqual(new Set([undefined, "billing_hard_limit_reached"]));
  }, 60_000);

  it("can be raised and lowered: each replica keeps to the new one within a second", async () => {
    const customer = await newCustomer(stack, { monthlyBudgetMicro: 0 });
    const body = chatBody("raise", { max_tokens: 20 });
    const all = () => Promise.all(replicas.map((url) => send({ url, key: customer.key, body })));
    for (const outcome of await all()) expect(outcome).toMatchObject({ status: 402, errorCode: "billing_hard_limit_reached" });
    for (const [budget, served] of [["1000000000000", true], [0, false], [null, true]] as const) {
      await stack.operator.changeLimits(customer.keyId, { monthlyBudgetMicro: budget });
      const changedAtMs = performance.now();
      await waitFor("all three to follow", async () => (await all()).every(({ complete }) => complete === served));
      expect(performance.now() - changedAtMs).toBeLessThan(effectiveWithinMs);
    }
  });
});
