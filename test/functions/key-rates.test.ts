/** Limits of keys in the database: what all replicas together take of them in any minute. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { connect } from "#shared/db.ts";
import { takeSlices } from "../../functions/key-auth/queries.ts";
import { addKey, openAccount } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const keyAuth = connect({ url: database.urlFor("key-auth"), connections: 8 });

afterAll(async () => {
  await keyAuth.end();
  await database.close();
});

async function newKey(requestsPerMinute: number | null, tokensPerMinute: number | null = null): Promise<string> {
  const { keyId } = await addKey(owner, await openAccount(owner));
  await owner`
    update api_keys set requests_per_minute = ${requestsPerMinute}, tokens_per_minute = ${tokensPerMinute} where id = ${keyId}
  `;
  return keyId;
}

interface Ask {
  unit?: "requests" | "tokens" | "throttle";
  first?: number;
  waiting?: number;
  ahead?: number;
  corrections?: { ageS: number; amount: number }[];
}

async function take(keyId: string, { unit = "requests", first = 1, waiting = first, ahead = 0, corrections = [] }: Ask = {}) {
  const [slice] = await takeSlices(keyAuth, { slices: [{ keyId, unit, first, waiting, ahead, corrections }] });
  return slice!;
}

/** So many seconds go by for what this key has used. */
const pass = (keyId: string, seconds: number) => owner`update key_rates set second = second - ${seconds} where key_id = ${keyId}`;

describe("take_rates()", () => {
  test("grants a limit of N exactly N times in a minute, to however many ask at once", async () => {
    const keyId = await newKey(30);
    const asks = Array.from({ length: 200 }, () => take(keyId));
    const granted = (await Promise.all(asks)).reduce((sum, slice) => sum + slice.granted, 0);
    expect(granted).toBe(30);
  });

  test("says when there is room again, and makes it then and not before", async () => {
    const keyId = await newKey(10);
    await take(keyId, { first: 4 });
    await pass(keyId, 20);
    await take(keyId, { first: 6 });
    const refused = await take(keyId, { first: 5 });
    expect(refused).toMatchObject({ granted: 0, remaining: 0 });
    // Room for 5 comes with the second that counts 6, the younger one; all is free then too.
    expect(refused.waitMs).toBeGreaterThan(58_000);
    expect(refused.waitMs).toBeLessThanOrEqual(61_000);
    expect(refused.resetMs).toBe(refused.waitMs);
    const sooner = await take(keyId, { first: 4 });
    expect(sooner.waitMs).toBeGreaterThan(38_000);
    expect(sooner.waitMs).toBeLessThanOrEqual(41_000);
    await pass(keyId, 38);
    expect(await take(keyId, { first: 4 })).toMatchObject({ granted: 0 });
    await pass(keyId, 3);
    expect(await take(keyId, { first: 4 })).toMatchObject({ granted: 4, waitMs: 0, remaining: 0 });
    await pass(keyId, 100);
    expect(await take(keyId)).toMatchObject({ granted: 1, remaining: 9 });
  });

  test("grants ahead a hundredth of the limit, less as it runs out, and nothing of a small limit", async () => {
    const large = await newKey(1_000);
    expect((await take(large, { ahead: 500 })).granted).toBe(1 + 10);
    expect((await take(large, { first: 950, ahead: 500 })).granted).toBe(950 + 4);
    const small = await newKey(99);
    expect((await take(small, { ahead: 500 })).granted).toBe(1);
  });

  test("grants a part of what waits when all does not fit, and nothing when the first does not", async () => {
    const keyId = await newKey(null, 1_000);
    expect(await take(keyId, { unit: "tokens", first: 400, waiting: 1_300, ahead: 50 })).toMatchObject({ granted: 1_000, waitMs: 0, remaining: 0 });
    await take(keyId, { unit: "tokens", first: 0, corrections: [{ ageS: 0, amount: -300 }] });
    expect(await take(keyId, { unit: "tokens", first: 301 })).toMatchObject({ granted: 0, remaining: 300 });
  });

  test("puts right the second in which it was taken", async () => {
    const keyId = await newKey(null, 1_000);
    await take(keyId, { unit: "tokens", first: 600 });
    await pass(keyId, 40);
    await take(keyId, { unit: "tokens", first: 300 });
    const corrected = await take(keyId, { unit: "tokens", first: 0, corrections: [{ ageS: 40, amount: -500 }, { ageS: 0, amount: 50 }] });
    expect(corrected.remaining).toBe(1_000 - 100 - 350);
    await pass(keyId, 25);
    expect((await take(keyId, { unit: "tokens", first: 0 })).remaining).toBe(1_000 - 350);
    // What has left the minute is not taken from what has not.
    expect((await take(keyId, { unit: "tokens", first: 0, corrections: [{ ageS: 65, amount: -90 }] })).remaining).toBe(1_000 - 350);
  });

  test("counts what was used beyond the limit against the time after", async () => {
    const keyId = await newKey(null, 100);
    expect(await take(keyId, { unit: "tokens", first: 0, corrections: [{ ageS: 0, amount: 250 }] })).toMatchObject({ granted: 0, remaining: 0 });
    expect((await take(keyId, { unit: "tokens" })).granted).toBe(0);
  });

  test("keeps to a limit from the moment it is changed, and to none when it is gone", async () => {
    const keyId = await newKey(100);
    await take(keyId, { first: 60 });
    await owner`update api_keys set requests_per_minute = 61 where id = ${keyId}`;
    expect((await take(keyId, { first: 1 })).granted).toBe(1);
    expect((await take(keyId, { first: 1 })).granted).toBe(0);
    await owner`update api_keys set requests_per_minute = null where id = ${keyId}`;
    expect((await take(keyId, { first: 500 })).granted).toBe(500);
  });

  test("answers in the order of the request, and grants nothing of a key that is gone", async () => {
    const [one, other] = [await newKey(5, 50), await newKey(7)];
    const line = { first: 1, waiting: 1, ahead: 0, corrections: [] };
    const slices = await takeSlices(keyAuth, {
      slices: [
        { keyId: other, unit: "requests", ...line },
        { keyId: randomUUID(), unit: "requests", ...line },
        { keyId: one, unit: "tokens", ...line },
        { keyId: one, unit: "requests", ...line },
        { keyId: other, unit: "requests", ...line },
      ],
    });
    expect(slices.map(({ granted, remaining }) => [granted, remaining])).toEqual([[1, 6], [0, 0], [1, 49], [1, 4], [1, 5]]);
  });

  test("lets calls with the same keys never wait for each other in a circle", async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, () => newKey(1_000_000, 1_000_000)));
    const line = { first: 1, waiting: 1, ahead: 3, corrections: [{ ageS: 1, amount: -1 }] };
    const lines = keys.flatMap((keyId) => (["requests", "tokens"] as const).map((unit) => ({ keyId, unit, ...line })));
    await Promise.all(Array.from({ length: 60 }, (_, index) => takeSlices(keyAuth, { slices: index % 2 ? lines : lines.toReversed() })));
    const [row] = await owner<{ deadlocks: number }[]>`
      select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()
    `;
    expect(row!.deadlocks).toBe(0);
  });

  test("over random takings, corrections and pauses no minute has more than the limit", async () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ first: fc.integer({ min: 0, max: 40 }), more: fc.nat(40), ahead: fc.nat(20) }) },
      fc.record({ back: fc.nat(30), of: fc.nat(20) }),
      { weight: 2, arbitrary: fc.record({ seconds: fc.integer({ min: 1, max: 45 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 200 }), fc.array(step, { minLength: 1, maxLength: 25 }), async (limit, steps) => {
        const keyId = await newKey(null, limit);
        /** What was granted and not given back, with the time on this test's clock. */
        const taken: { amount: number; atS: number }[] = [];
        let nowS = 0;
        const usedIn = (fromS: number) => taken.reduce((sum, { amount, atS }) => sum + (atS > fromS ? amount : 0), 0);
        for (const each of steps) {
          if ("seconds" in each) {
            nowS += each.seconds;
            await pass(keyId, each.seconds);
          } else if ("back" in each) {
            const grant = taken[each.of % taken.length];
            // Two seconds short of the minute, since real time goes by as well.
            if (!grant || nowS - grant.atS > 57) continue;
            const amount = Math.min(each.back, grant.amount);
            grant.amount -= amount;
            await take(keyId, { unit: "tokens", first: 0, corrections: [{ ageS: nowS - grant.atS, amount: -amount }] });
          } else {
            const { granted, remaining } = await take(keyId, { unit: "tokens", first: each.first, waiting: each.first + each.more, ahead: each.ahead });
            taken.push({ amount: granted, atS: nowS });
            expect(usedIn(nowS - 58)).toBeLessThanOrEqual(limit);
            // Nothing is lost either: what no minute counts can be taken.
            expect(remaining).toBeGreaterThanOrEqual(limit - usedIn(nowS - 63));
          }
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

describe("a throttle", () => {
  test("grants all keys of an account together its requests, beside what each has itself, and none once it is lifted (use.usage)", async () => {
    const keyId = await newKey(30);
    const [key] = await owner<{ accountId: string }[]>`select account_id as "accountId" from api_keys where id = ${keyId}`;
    await owner`insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${key!.accountId}, 'errors', 5, now() + interval '1 hour')`;
    const granted = async (unit: "throttle" | "requests") =>
      (await Promise.all(Array.from({ length: 40 }, () => take(keyId, { unit })))).reduce((sum, slice) => sum + slice.granted, 0);
    expect([await granted("throttle"), await granted("requests")]).toEqual([5, 30]);
    await pass(keyId, 61);
    expect(await granted("throttle")).toBe(5);
    await owner`select admin_lift_throttle(${key!.accountId})`;
    expect(await granted("throttle")).toBe(40);
  });
});

describe("forget_idle_rates()", () => {
  test("forgets what nobody has taken from for two minutes, and nothing that counts (keep.usage)", async () => {
    const [idle, busy] = [await newKey(5), await newKey(5)];
    await take(idle);
    await take(busy);
    await pass(idle, 122);
    await keyAuth`select forget_idle_rates()`;
    const rows = await owner<{ keyId: string }[]>`select key_id as "keyId" from key_rates where key_id in (${idle}, ${busy})`;
    expect(rows.map(({ keyId }) => keyId)).toEqual([busy]);
  });
});

describe("key_rates", () => {
  test("reaches neither the log nor backups: it is unlogged (keep.*)", async () => {
    const [row] = await owner`select relpersistence as persistence from pg_class where relname = 'key_rates'`;
    expect(row).toEqual({ persistence: "u" });
  });
});
