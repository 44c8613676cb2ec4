/** One Idempotency-Key on several replicas: one of many runs, and a proxy that dies or sleeps is in nobody's way. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startReplica, type Replica } from "../support/replica.ts";
import { newCustomer, settled, sharedStack, usageOf } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

/** Milliseconds after which the lease of a proxy that says no more is gone (billing's lease_ttl_ms), and room. */
const takenOverWithinMs = 45_000;

let stack: Stack;
let dying: Replica;
let sleeping: Replica;

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  [dying, sleeping] = await Promise.all([startReplica(stack), startReplica(stack)]);
});
afterAll(async () => {
  await Promise.all([dying.stop(), sleeping.stop()]);
  await stack.close();
});

const headers = { "idempotency-key": "the same" };
const slowStream = chatBody("[[simulate tokens=40 interval_ms=50]]", { stream: true });

describe("with three replicas", () => {
  it("one of many duplicates runs, and the others are told of it", async () => {
    const customer = await newCustomer(stack);
    const urls = [stack.url, dying.url, sleeping.url];
    const body = chatBody("[[simulate tokens=10 interval_ms=20]]");
    const outcomes = await Promise.all(
      Array.from({ length: 45 }, (_, index) => send({ url: urls[index % 3]!, key: customer.key, body, headers })),
    );
    const codes = outcomes.filter(({ complete }) => !complete).map(({ status, errorCode }) => `${status} ${errorCode}`);
    expect(codes).toHaveLength(44);
    for (const code of codes) expect(["409 idempotency_in_progress", "409 idempotent_replay"]).toContain(code);
    expect(await usageOf(stack, customer.accountId)).toHaveLength(1);
    expect((await stack.engine.counts()).total.requests).toBe(1);
  });

  it("a retry waits for the lease of a proxy that was killed or sleeps, then runs; the sleeper's end charges nothing", async () => {
    const [ofDying, ofSleeping] = [await newCustomer(stack), await newCustomer(stack)];
    const { requests } = (await stack.engine.counts()).total;
    const first = send({ url: dying.url, key: ofDying.key, body: slowStream, headers });
    const second = send({ url: sleeping.url, key: ofSleeping.key, body: slowStream, headers });
    await waitFor("both to run", async () => (await stack.engine.counts()).total.requests === requests + 2);
    dying.signal("SIGKILL");
    sleeping.signal("SIGSTOP");

    const retry = ({ key }: { key: string }) => send({ url: stack.url, key, body: chatBody("again"), headers });
    for (const customer of [ofDying, ofSleeping]) {
      expect(await retry(customer)).toMatchObject({ status: 409, errorCode: "idempotency_in_progress", retryAfter: "5" });
    }
    for (const customer of [ofDying, ofSleeping]) {
      const taken = await waitFor("the lease to be gone", async () => {
        const outcome = await retry(customer);
        if (!outcome.complete) expect(outcome.errorCode).toBe("idempotency_in_progress");
        return outcome.complete && outcome;
      }, takenOverWithinMs);
      expect(await retry(customer)).toMatchObject({ status: 409, errorCode: "idempotent_replay" });
      await settled(stack);
      const rows = await usageOf(stack, customer.accountId);
      expect(rows.map((row) => [row.status, row.cost_micro > 0n])).toEqual([[503, false], [200, true]]);
      expect(rows[1]!.id).toBe(taken.requestId);
    }

    sleeping.signal("SIGCONT");
    expect((await first).complete).toBe(false);
    expect(await second).toMatchObject({ status: 200, complete: false, errorCode: "not_settled" });
    expect(await usageOf(stack, ofSleeping.accountId)).toHaveLength(2);
  }, 120_000);
});
