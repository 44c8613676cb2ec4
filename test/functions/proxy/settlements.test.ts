import { describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { createSettlements } from "../../../functions/proxy/settlements.ts";
import type { Settlement, SettlementsAnswer } from "../../../functions/usage-record/schema.ts";

const settlement = (requestId: string): Settlement => ({
  requestId,
  accountId: "a",
  keyId: "k",
  leaseId: "l",
  model: "m",
  endpoint: "chat.completions",
  priceVersion: 1,
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 1,
  reasoningTokens: 0,
  images: 0,
  costMicro: 10,
  latencyMs: 1,
  status: 200,
});

function harness(answer: (batch: Settlement[]) => Promise<SettlementsAnswer["results"]>) {
  let nowMs = 0;
  const batches: Settlement[][] = [];
  const outcomes: string[] = [];
  const released: number[] = [];
  const usageRecord = {
    async post(_path: string, body: { settlements: Settlement[] }) {
      batches.push(body.settlements);
      return { results: await answer(body.settlements) };
    },
    async close() {},
  } as unknown as InternalClient;
  const settlements = createSettlements({
    usageRecord,
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    log: () => {},
    runningCalls: () => 0,
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  const settle = (id: string) => settlements.settle(settlement(id), { leaseId: "l", release: (charged) => released.push(charged) });
  return { settlements, settle, batches, outcomes, released, pass: (ms: number) => (nowMs += ms) };
}

const settled = (batch: Settlement[]) => batch.map(({ costMicro }) => ({ outcome: "settled" as const, chargedMicro: costMicro }));

describe("createSettlements()", () => {
  test("sends one batch at a time and gathers the next meanwhile", async () => {
    let letGo = () => {};
    let calls = 0;
    const { settle, batches } = harness(async (batch) => {
      calls += 1;
      if (calls === 1) await new Promise<void>((resolve) => (letGo = resolve));
      return settled(batch);
    });
    const first = settle("1");
    await expect.poll(() => batches.length).toBe(1);
    const rest = ["2", "3", "4"].map(settle);
    expect(batches).toHaveLength(1);
    letGo();
    expect(await Promise.all([first, ...rest])).toEqual([10, 10, 10, 10]);
    expect(batches.map((batch) => batch.length)).toEqual([1, 3]);
  });

  test("sends the next batch before the callers of the last one are answered", async () => {
    const events: string[] = [];
    let letGo = () => {};
    const { settle } = harness(async (batch) => {
      events.push(`sent ${batch[0]!.requestId}`);
      if (batch[0]!.requestId === "1") await new Promise<void>((resolve) => (letGo = resolve));
      return settled(batch);
    });
    const first = settle("1").then(() => events.push("answered 1"));
    await expect.poll(() => events).toEqual(["sent 1"]);
    const second = settle("2").then(() => events.push("answered 2"));
    letGo();
    await Promise.all([first, second]);
    expect(events).toEqual(["sent 1", "sent 2", "answered 1", "answered 2"]);
  });

  test("tries again with the same ids until the outcome is known", async () => {
    let calls = 0;
    const { settle, batches, released } = harness(async (batch) => {
      calls += 1;
      if (calls < 3) throw new EpithreError("unavailable", "away");
      return settled(batch);
    });
    expect(await settle("1")).toBe(10);
    expect(batches.map((batch) => batch[0]!.requestId)).toEqual(["1", "1", "1"]);
    expect(released).toEqual([10]);
  });

  test("voids an outcome unknown for 5 s under the same id, and frees the hold only when it is known", async () => {
    let away = true;
    const { settle, batches, released, outcomes, pass } = harness(async (batch) => {
      if (away) throw new EpithreError("unavailable", "away");
      return batch.map(() => ({ outcome: "superseded" as const, chargedMicro: 10 }));
    });
    const outcome = settle("1").catch((thrown: EpithreError) => thrown);
    await expect.poll(() => batches.length).toBeGreaterThan(0);
    pass(5_001);
    expect(await outcome).toMatchObject({ kind: "not_settled", status: 503 });
    expect(released).toEqual([]);
    away = false;
    // The first settlement had been committed after all: its charge stands, and is what the hold ends with.
    await expect.poll(() => released).toEqual([10]);
    expect(batches.at(-1)![0]).toMatchObject({ requestId: "1", status: 503, costMicro: 0, completionTokens: 0 });
    expect(outcomes).toEqual(["superseded"]);
  });

  test("fails only the row that was refused", async () => {
    const { settle, released } = harness(async (batch) =>
      batch.map(({ requestId, costMicro }) =>
        requestId === "bad" ? { outcome: "refused" as const, chargedMicro: 0 } : { outcome: "settled" as const, chargedMicro: costMicro },
      ),
    );
    const results = await Promise.allSettled(["1", "bad", "2"].map(settle));
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(released).toEqual([10, 0, 10]);
  });
});
