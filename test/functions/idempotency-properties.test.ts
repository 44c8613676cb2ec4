/** Requests of one Idempotency-Key are charged once, whatever order claims, ends, deaths and late settlements come in. */
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { claim, releaseClaim, settle } from "../../functions/usage-record/queries.ts";
import type { ClaimAnswer, ClaimRequest } from "../../functions/usage-record/schema.ts";
import { addModel, voided } from "../support/accounts.ts";
import { addCaller, claimRequest, endOf, expireLease, newDigest } from "../support/claims.ts";
import { addLease } from "../support/leases.ts";
import { createTestDatabase } from "../support/database.ts";

const sequences = 400;
const stepsMax = 10;

const database = await createTestDatabase();
const { sql: owner } = database;
const usageRecord = createDatabasePool({ url: database.urlFor("usage-record"), log: () => {}, connections: 6 });
await addModel(owner, "test-chat");

afterAll(async () => {
  await usageRecord.close();
  await database.close();
});

const ends = ["whole", "in part", "failed", "given up", "released"] as const;

/** `again`: what a proxy sends twice, or gives up after all; `expire`: the death of a proxy, whose requests may still end. */
type Step =
  | { do: "request"; proxy: number; day: number }
  | { do: "end"; which: number; how: (typeof ends)[number] }
  | { do: "again"; which: number; voided: boolean }
  | { do: "expire"; proxy: number }
  | { do: "outrun" };

const index = fc.nat(5);
const proxy = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("request" as const), proxy, day: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), which: index, how: fc.constantFrom(...ends) }) },
  fc.record({ do: fc.constant("again" as const), which: index, voided: fc.boolean() }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant("expire" as const), proxy }) },
  fc.record({ do: fc.constant("outrun" as const) }),
);
/** Steps of one array run at once. */
const sequence = fc.array(fc.oneof(step.map((one) => [one]), fc.array(step, { minLength: 2, maxLength: 6 })), {
  minLength: 1,
  maxLength: stepsMax,
});

/** One run: an account, two proxies, one header. What a proxy was not allowed to run, it does not settle. */
async function createWorld() {
  const { accountId, leaseId } = await addCaller(owner);
  const leases = [leaseId, await addLease(owner, accountId)];
  const [yesterday, today] = [newDigest(), newDigest()];
  const running: ClaimRequest[] = [];
  const ended: ReturnType<typeof endOf>[] = [];
  const replays: ClaimAnswer[] = [];

  async function request(given: { proxy: number; day: number }): Promise<ClaimAnswer> {
    const digests = given.day ? [today, yesterday] : [yesterday, today];
    const asked = claimRequest({ accountId, leaseId: leases[given.proxy]! }, digests);
    const answer = await usageRecord.run((sql) => claim(sql, asked));
    if (answer.outcome === "claimed") running.push(asked);
    if (answer.outcome === "completed") replays.push(answer);
    return answer;
  }

  async function end(which: number, how: (typeof ends)[number]): Promise<void> {
    const [one] = running.splice(which % (running.length || 1), 1);
    if (!one) return;
    if (how === "released") {
      await usageRecord.run((sql) => releaseClaim(sql, one));
      return;
    }
    const whole = endOf(one);
    const settlement = { whole, "in part": { ...whole, status: 499, costMicro: 7 }, failed: { ...whole, status: 502, costMicro: 0 }, "given up": voided(whole) }[how];
    ended.push(settlement);
    await usageRecord.run((sql) => settle(sql, [settlement]));
  }

  async function run(given: Step): Promise<void> {
    switch (given.do) {
      case "request":
        await request(given);
        return;
      case "end":
        await end(given.which, given.how);
        return;
      case "again": {
        const one = ended[given.which % (ended.length || 1)];
        if (one) await usageRecord.run((sql) => settle(sql, [given.voided ? voided(one) : one]));
        return;
      }
      case "expire": {
        const dead = leases[given.proxy]!;
        await expireLease(owner, dead);
        leases[given.proxy] = await addLease(owner, accountId);
        return;
      }
      case "outrun":
        await owner`update idempotency_claims set runs_until = now() - interval '1 ms' where account_id = ${accountId}`;
    }
  }

  /** One request with effect at the most; whoever was told of it was told what stands. */
  async function check(): Promise<void> {
    const effects = await owner<{ id: string; cost: number; status: number }[]>`
      select id, cost_micro::int as cost, status::int as status from usage_events
      where account_id = ${accountId} and (cost_micro > 0 or status = 200)
    `;
    expect(effects.length).toBeLessThanOrEqual(1);
    const [effect] = effects;
    for (const replay of replays) {
      expect(replay).toEqual({ outcome: "completed", requestId: effect?.id, chargedMicro: effect?.cost, status: effect?.status });
    }
  }

  /** When everything has ended or died, the next request is told of the one with effect, or runs: nothing is in its way. */
  async function checkEnd(): Promise<void> {
    for (const dead of leases) await expireLease(owner, dead);
    const before = replays.length;
    const answer = await request({ proxy: 0, day: 1 });
    const [row] = await owner<{ effects: number }[]>`
      select count(*)::int as effects from usage_events where account_id = ${accountId} and (cost_micro > 0 or status = 200)
    `;
    expect(answer.outcome).toBe(row!.effects === 1 ? "completed" : "claimed");
    expect(replays.length - before).toBe(row!.effects);
    while (running.length > 0) await end(0, "whole");
    await check();
  }

  return { run, check, checkEnd };
}

test(`claim() leaves one charge for a header over ${sequences} random sequences, many steps at once`, async () => {
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const world = await createWorld();
      for (const together of steps) {
        await Promise.all(together.map(world.run));
        await world.check();
      }
      await world.checkEnd();
    }),
    { numRuns: sequences },
  );
  const [row] = await owner<{ deadlocks: number }[]>`
    select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()
  `;
  expect(row!.deadlocks).toBe(0);
}, 180_000);
