/** A revoked key stops within a second on each replica of the proxy, in the middle of traffic. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startReplica, type Replica } from "../support/replica.ts";
import { newCustomer, sharedStack } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, send, startLoad } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

/** Milliseconds: the promise. */
const stopsWithinMs = 1_000;
const callersPerReplica = 8;

let stack: Stack;
let second: Replica;
let replicas: string[];

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  second = await startReplica(stack);
  replicas = [`http://127.0.0.1:${stack.environmentOf("proxy").PORT}`, second.url];
});
afterAll(async () => {
  await second.stop();
  await stack.close();
});

describe("with two replicas under load", () => {
  it("a revoked key is refused everywhere within a second, and the other keys go on", async () => {
    const leaving = await newCustomer(stack);
    const staying = await newCustomer(stack);
    const loads = replicas.map((url) => startLoad(callersPerReplica, () => ({ url, key: leaving.key, body: chatBody("load") })));
    const others = startLoad(2, () => ({ url: replicas[0]!, key: staying.key, body: chatBody("load") }));
    await waitFor("traffic on both", () => loads.every(({ outcomes }) => outcomes.filter((each) => each.complete).length > 50));

    await stack.operator.revokeKey(leaving.keyId);
    const revokedAtMs = performance.now();
    await waitFor("a refusal on both", () => loads.every(({ outcomes }) => outcomes.at(-1)?.errorCode === "invalid_api_key"));
    // Past the promised second, so that a late success would be seen.
    await waitFor("the second to pass", () => performance.now() - revokedAtMs > stopsWithinMs + 500);

    for (const load of loads) {
      const outcomes = await load.stop();
      const late = outcomes.filter((each) => each.complete && each.startedAtMs - revokedAtMs > stopsWithinMs);
      expect(late).toEqual([]);
      const refused = outcomes.filter((each) => each.startedAtMs - revokedAtMs > stopsWithinMs);
      expect(refused.length).toBeGreaterThan(0);
      expect(new Set(refused.map((each) => each.errorCode))).toEqual(new Set(["invalid_api_key"]));
    }
    const rest = await others.stop();
    expect(rest.filter((each) => !each.complete)).toEqual([]);
  });

  it("a new key works at once on both, though both have just refused it", async () => {
    const customer = await newCustomer(stack);
    for (const url of replicas) {
      const answered = await waitFor("the key to be known", async () => {
        const outcome = await send({ url, key: customer.key, body: chatBody("first") });
        return outcome.complete && outcome;
      });
      expect(answered.status).toBe(200);
    }
  });

  it("a suspended account is refused within a second, and its running streams end with an error", async () => {
    const suspended = await newCustomer(stack);
    const streams = replicas.map((url) => send({ url, key: suspended.key, body: chatBody("[[simulate tokens=4000 interval_ms=20]]", { stream: true }) }));
    await waitFor("both streams to run", async () => (await stack.engine.counts()).open === 2);
    await stack.operator.suspend(suspended.accountId);
    const suspendedAtMs = performance.now();
    const ended = await Promise.all(streams);
    for (const outcome of ended) {
      expect(outcome).toMatchObject({ complete: false, errorCode: "account_suspended" });
      expect(outcome.endedAtMs - suspendedAtMs).toBeLessThan(stopsWithinMs);
    }
    for (const url of replicas) {
      expect(await send({ url, key: suspended.key, body: chatBody("again") })).toMatchObject({ status: 403, errorCode: "account_suspended" });
    }
  });

  it("a model that is switched off is refused everywhere within a second, until it is switched on again", async () => {
    const { key } = await newCustomer(stack);
    const model = "simulated-chat-small";
    const loads = replicas.map((url) => startLoad(2, () => ({ url, key, body: chatBody("load", { model }) })));
    await waitFor("traffic on both", () => loads.every(({ outcomes }) => outcomes.filter((each) => each.complete).length > 10));
    await stack.operator.enableModel(model, false);
    const switchedOffAtMs = performance.now();
    try {
      await waitFor("the second to pass", () => performance.now() - switchedOffAtMs > stopsWithinMs + 500);
      for (const load of loads) {
        const late = (await load.stop()).filter((each) => each.startedAtMs - switchedOffAtMs > stopsWithinMs);
        expect(new Set(late.map(({ errorCode }) => errorCode))).toEqual(new Set(["model_not_found"]));
      }
    } finally {
      await stack.operator.enableModel(model, true);
    }
    for (const url of replicas) {
      await waitFor("the model to be back", async () => (await send({ url, key, body: chatBody("again", { model }) })).complete);
    }
  });

  it("two replicas never spend more than the account has (money: never overspent)", async () => {
    const creditMicro = 20_000_000;
    const poor = await newCustomer(stack, {}, creditMicro);
    const loads = replicas.map((url) => startLoad(4, () => ({ url, key: poor.key, body: chatBody("spend", { max_tokens: 20 }) })));
    await waitFor("the money to end", () => loads.every(({ outcomes }) => outcomes.filter((each) => each.errorCode === "insufficient_quota").length > 5));
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    const spent = outcomes.reduce((sum, { complete, usage }) => sum + (complete ? usage!.cost_micro_rupiah : 0), 0);
    expect(spent).toBeLessThanOrEqual(creditMicro);
    // Near zero holds are exact: what is left could not pay for one more request.
    expect(spent).toBeGreaterThan(creditMicro * 0.8);
    expect(new Set(outcomes.map(({ errorCode }) => errorCode))).toEqual(new Set([undefined, "insufficient_quota"]));
  });
});
