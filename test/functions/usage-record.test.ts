import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { connect, sqlState, type Sql } from "#shared/db.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sign, signatureHeader } from "#shared/http.ts";
import { uuidv7 } from "#shared/ids.ts";
import { createLog } from "#shared/log.ts";
import { createHandler } from "../../functions/usage-record/handler.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { ClaimAnswer, type Settlement, SettlementsAnswer } from "../../functions/usage-record/schema.ts";
import { addModel, openAccount, settlement, voided } from "../support/accounts.ts";
import { addCaller, claimRequest, endOf, newDigest } from "../support/claims.ts";
import { createTestDatabase } from "../support/database.ts";
import { addLease } from "../support/leases.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const usageRecord = connect({ url: database.urlFor("usage-record"), connections: 8 });
await addModel(owner, "test-chat");

afterAll(async () => {
  await usageRecord.end();
  await database.close();
});

/** An account with this much credit, of which a lease has some. */
async function leased(creditMicro: number, grantedMicro: number): Promise<{ accountId: string; leaseId: string }> {
  const accountId = await openAccount(owner, creditMicro);
  return { accountId, leaseId: await addLease(owner, accountId, grantedMicro) };
}

async function money(accountId: string) {
  const [row] = await owner`
    select
      credited_micro::int as credited, consumed_micro::int as consumed, leased_micro::int as leased,
      (select coalesce(sum(consumed_micro), 0)::int from leases where account_id = ${accountId}) as "consumedInLeases",
      (select coalesce(sum(cost_micro), 0)::int from usage_events where account_id = ${accountId}) as charged,
      (select count(*)::int from usage_events where account_id = ${accountId}) as events
    from balances where account_id = ${accountId}
  `;
  return row!;
}

async function losses(): Promise<{ requests: number; lossMicro: number }> {
  const [row] = await owner<{ requests: number; lossMicro: number }[]>`
    select coalesce(sum(requests), 0)::int as requests, coalesce(sum(loss_micro), 0)::int as "lossMicro" from operator_losses
  `;
  return row!;
}

/** In the order of their ids. */
function batchOf(count: number, given: Partial<Settlement> & Pick<Settlement, "accountId" | "leaseId">): Settlement[] {
  const batch = Array.from({ length: count }, () => settlement(given));
  return batch.sort((one, other) => (one.requestId < other.requestId ? -1 : 1));
}

describe("settle()", () => {
  test("stores what a request used and debits its lease (keep.usage)", async () => {
    const lease = await leased(10_000, 5_000);
    const given = settlement({ ...lease, cachedTokens: 3, reasoningTokens: 5, images: 2, endpoint: "images.edits" });
    expect(await settle(usageRecord, [given])).toEqual([{ outcome: "settled", chargedMicro: 1_000 }]);
    const [event] = await owner`
      select *, model_id::int as model_id, status::int as status from usage_events where id = ${given.requestId}
    `;
    expect(event).toEqual({
      id: given.requestId,
      account_id: given.accountId,
      key_id: given.keyId,
      cost_micro: 1_000n,
      price_version: 1,
      prompt_tokens: 12,
      cached_tokens: 3,
      completion_tokens: 34,
      reasoning_tokens: 5,
      images: 2,
      latency_ms: 56,
      endpoint: "images.edits",
      model_id: 1,
      status: 200,
    });
    expect(await money(lease.accountId)).toMatchObject({ consumed: 0, leased: 5_000, consumedInLeases: 1_000, charged: 1_000 });
  });

  test("settles each request once when batches come several times at once, in any order", async () => {
    const lease = await leased(1_000_000, 100_000);
    const batch = batchOf(64, lease);
    const copies = Array.from({ length: 8 }, (_, index) => (index % 2 ? batch.toReversed() : batch.slice(index)));
    const answers = await Promise.all(copies.map((copy) => settle(usageRecord, copy)));
    expect(answers.flat().every(({ outcome, chargedMicro }) => outcome === "settled" && chargedMicro === 1_000)).toBe(true);
    expect(await money(lease.accountId)).toMatchObject({ events: 64, charged: 64_000, consumedInLeases: 64_000 });
  });

  test("settles a request that is in its batch twice once", async () => {
    const lease = await leased(10_000, 5_000);
    const given = settlement(lease);
    const results = await settle(usageRecord, [given, voided(given), given]);
    expect(results.map(({ outcome }) => outcome)).toEqual(["settled", "superseded", "settled"]);
    expect(await money(lease.accountId)).toMatchObject({ events: 1, consumedInLeases: 1_000 });
  });

  test("answers what stands to a retry with another cost", async () => {
    const lease = await leased(10_000, 5_000);
    const given = settlement(lease);
    await settle(usageRecord, [given]);
    expect(await settle(usageRecord, [{ ...given, costMicro: 2_000 }])).toEqual([{ outcome: "settled", chargedMicro: 1_000 }]);
    expect(await money(lease.accountId)).toMatchObject({ consumedInLeases: 1_000 });
  });

  test("lets a settlement and its void race: whichever commits first stands, and both are told", async () => {
    const lease = await leased(1_000_000, 1_000_000);
    const real = batchOf(40, lease);
    const answers = await Promise.all(
      real.map(async (given, index) => {
        const [first, second] = index % 2 ? [given, voided(given)] : [voided(given), given];
        const results = await Promise.all([settle(usageRecord, [first]), settle(usageRecord, [second])]);
        return index % 2 ? [results[0][0]!, results[1][0]!] : [results[1][0]!, results[0][0]!];
      }),
    );
    const events = await owner<{ id: string; status: number; cost: number }[]>`
      select id, status::int as status, cost_micro::int as cost from usage_events where account_id = ${lease.accountId}
    `;
    expect(events).toHaveLength(real.length);
    for (const [index, [ofReal, ofVoid]] of answers.entries()) {
      const event = events.find(({ id }) => id === real[index]!.requestId)!;
      expect(ofReal!.outcome).toBe(event.status === 200 ? "settled" : "superseded");
      expect(ofVoid!.outcome).toBe(event.status === 200 ? "superseded" : "settled");
      expect([ofReal!.chargedMicro, ofVoid!.chargedMicro]).toEqual([event.cost, event.cost]);
    }
    const { charged, consumedInLeases } = await money(lease.accountId);
    expect(consumedInLeases).toBe(charged);
  });

  test("refuses rows without an account, model or slice, and settles the others", async () => {
    const lease = await leased(10_000, 10_000);
    const long = 100 * 24 * 3_600_000;
    const results = await settle(usageRecord, [
      settlement(lease),
      settlement({ ...lease, accountId: randomUUID() }),
      settlement({ ...lease, model: "no-such-model" }),
      settlement({ ...lease, model: `x","y)"}\\` }),
      settlement({ ...lease, model: "" }),
      settlement({ ...lease, requestId: uuidv7(Date.now() - long) }),
      settlement({ ...lease, requestId: uuidv7(Date.now() + long) }),
      settlement(lease),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(["settled", ...Array(6).fill("refused"), "settled"]);
    expect(results[1]).toEqual({ outcome: "refused", chargedMicro: 0 });
    expect(await money(lease.accountId)).toMatchObject({ events: 2, consumedInLeases: 2_000 });
  });

  test("charges only the account's own leases", async () => {
    const [mine, other] = [await leased(5_000, 2_000), await leased(5_000, 2_000)];
    await settle(usageRecord, [settlement({ accountId: mine.accountId, leaseId: other.leaseId })]);
    expect(await money(mine.accountId)).toMatchObject({ consumed: 1_000, consumedInLeases: 0, charged: 1_000 });
    expect(await money(other.accountId)).toMatchObject({ consumed: 0, consumedInLeases: 0, charged: 0 });
  });

  test("after a lease is gone takes what is available, and books the rest as the operator's loss", async () => {
    const { accountId, leaseId } = await leased(2_500, 2_500);
    await owner`update leases set expires_at = now() - interval '1 second' where id = ${leaseId}`;
    await owner`select close_expired_leases(100)`;
    const before = await losses();
    const batch = batchOf(4, { accountId, leaseId });
    const results = await settle(usageRecord, batch);
    expect(results.map(({ chargedMicro }) => chargedMicro)).toEqual([1_000, 1_000, 500, 0]);
    expect(results.every(({ outcome }) => outcome === "settled")).toBe(true);
    expect(await money(accountId)).toMatchObject({ credited: 2_500, consumed: 2_500, leased: 0, charged: 2_500, events: 4 });
    const after = await losses();
    expect(after).toEqual({ requests: before.requests + 2, lossMicro: before.lossMicro + 1_500 });
    expect(await settle(usageRecord, batch)).toEqual(results);
    expect(await losses()).toEqual(after);
  });

  test("takes what a lease has that is too small, then what is available", async () => {
    const lease = await leased(2_200, 1_500);
    const results = await settle(usageRecord, batchOf(3, lease));
    expect(results.map(({ chargedMicro }) => chargedMicro)).toEqual([1_000, 1_000, 200]);
    expect(await money(lease.accountId)).toMatchObject({ consumed: 700, leased: 1_500, consumedInLeases: 1_500, charged: 2_200 });
  });

  test("of an account without a balance is the operator's loss", async () => {
    const accountId = await openAccount(owner);
    const results = await settle(usageRecord, [settlement({ accountId, leaseId: randomUUID() })]);
    expect(results).toEqual([{ outcome: "settled", chargedMicro: 0 }]);
  });

  test("names the day and the model in a loss, and no account (keep.closed)", async () => {
    const columns = await owner`
      select attname from pg_attribute where attrelid = 'operator_losses'::regclass and attnum > 0 order by attnum
    `;
    expect(columns.map(({ attname }) => attname)).toEqual(["day", "model_id", "requests", "loss_micro"]);
  });

  test("does not wait for a balance that others hold while it holds leases (55P03)", async () => {
    const { accountId } = await leased(2_500, 1_000);
    const late = settlement({ accountId, leaseId: randomUUID() });
    const { held, release } = await lockBalance(accountId);
    try {
      expect(await stateOf(settle(usageRecord, [late]))).toBe("55P03");
    } finally {
      release();
      await held;
    }
    expect(await settle(usageRecord, [late])).toEqual([{ outcome: "settled", chargedMicro: 1_000 }]);
  });
});

async function stateOf(query: Promise<unknown>): Promise<string> {
  return query.then(() => "none", sqlState);
}

async function lockBalance(accountId: string): Promise<{ held: Promise<unknown>; release: () => void; lockedAt: Date }> {
  const released = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<Date>();
  const held = owner.begin(async (sql) => {
    await sql`select from balances where account_id = ${accountId} for no key update`;
    const [row] = await sql<{ now: Date }[]>`select clock_timestamp() as now`;
    locked.resolve(row!.now);
    await released.promise;
  });
  return { held, release: () => released.resolve(), lockedAt: await locked.promise };
}

describe("usage-record's role", () => {
  test("may do nothing but settle and claim (keep.usage)", async () => {
    const forbidden: ((sql: Sql) => Promise<unknown>)[] = [
      (sql) => sql`select from usage_events`,
      (sql) => sql`select from accounts`,
      (sql) => sql`select from persons`,
      (sql) => sql`select from api_keys`,
      (sql) => sql`select from balances`,
      (sql) => sql`select from leases`,
      (sql) => sql`insert into usage_events (id) values (uuidv7())`,
      (sql) => sql`update balances set credited_micro = 1`,
      (sql) => sql`delete from usage_events`,
      (sql) => sql`select from idempotency_claims`,
      (sql) => sql`delete from idempotency_claims`,
      (sql) => sql`select void_claimed(null)`,
      (sql) => sql`select lease_move('1 minute', '{}', '{}', '{}')`,
      (sql) => sql`select settle_short(uuidv7(), uuidv7(), '{}')`,
      (sql) => sql`select post_billing_event(uuidv7(), 'top_up', 1, 'correction', uuidv7())`,
      (sql) => sql`select ensure_usage_slices()`,
      (sql) => sql`create table mine ()`,
      (sql) => sql`create temporary table mine ()`,
      (sql) => sql`set role epithre_owner`,
    ];
    for (const query of forbidden) expect([String(query), await stateOf(query(usageRecord))]).toEqual([String(query), "42501"]);
  });
});

describe("usage-record's handler", () => {
  const edgeSecret = "an edge secret of tests";
  const pool = createDatabasePool({ url: database.urlFor("usage-record"), log: createLog("usage-record", () => {}) });
  const handler = createHandler({ edgeSecrets: { proxy: edgeSecret }, database: pool, claims: pool });
  afterAll(() => pool.close());

  async function post(body: unknown, path = "/settlements"): Promise<Response> {
    const text = JSON.stringify(body);
    const headers = { [signatureHeader]: sign(edgeSecret, { from: "proxy", to: "usage-record", path, body: text }) };
    return handler(new Request(`http://usage-record${path}`, { method: "POST", headers, body: text }));
  }

  test("answers each settlement in order", async () => {
    const lease = await leased(10_000, 5_000);
    const response = await post({ settlements: [settlement(lease), settlement({ ...lease, model: "no-such-model" })] });
    const { results } = SettlementsAnswer.parse(await response.json());
    expect(results).toEqual([{ outcome: "settled", chargedMicro: 1_000 }, { outcome: "refused", chargedMicro: 0 }]);
  });

  test("refuses a field that a settlement does not have (content.none, keep.usage)", async () => {
    const lease = await leased(10_000, 5_000);
    const response = await post({ settlements: [{ ...settlement(lease), prompt: "a stray word" }] });
    expect(response.status).toBe(400);
    expect(await response.text()).not.toContain("stray");
    expect(await money(lease.accountId)).toMatchObject({ events: 0 });
  });

  test("claims, tells and gives back what requests with an Idempotency-Key share", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()]);
    const { digests, accountId, requestId } = first;
    const ask = async () => ClaimAnswer.parse(await (await post(claimRequest(caller, digests), "/claims")).json());
    expect(await (await post(first, "/claims")).json()).toEqual({ outcome: "claimed" });
    expect(await ask()).toEqual({ outcome: "in_progress", requestId });
    await post({ digests, accountId, requestId }, "/claims/release");
    const second = claimRequest(caller, digests);
    expect(await (await post(second, "/claims")).json()).toEqual({ outcome: "claimed" });
    await post({ settlements: [endOf(second)] });
    expect(await ask()).toEqual({ outcome: "completed", requestId: second.requestId, chargedMicro: 1_000, status: 200 });
  });

  test.each([
    ["a field that no claim has", { key: "a stray word" }],
    ["what is no digest", { digests: ["a stray word"] }],
    ["more days than can count", { digests: Array.from({ length: 4 }, newDigest) }],
  ])("refuses a claim with %s (content.none, keep.usage)", async (_, given) => {
    const response = await post({ ...claimRequest(await addCaller(owner), [newDigest()]), ...given }, "/claims");
    expect(response.status).toBe(400);
    expect(await response.text()).not.toContain("stray");
  });

  test("settles again by itself what had to give way", async () => {
    const { accountId } = await leased(2_500, 1_000);
    const { held, release, lockedAt } = await lockBalance(accountId);
    const response = post({ settlements: [settlement({ accountId, leaseId: randomUUID() })] });
    // A call that ended while the balance was held was one that gave way.
    const gaveWay = () => owner`
      select from pg_stat_activity
      where datname = current_database() and usename = 'epithre_usage_record' and query like '%settle(%'
        and state = 'idle' and state_change > ${lockedAt}
    `;
    await expect.poll(async () => (await gaveWay()).length, { interval: 5 }).toBeGreaterThan(0);
    release();
    await held;
    expect(await (await response).json()).toEqual({ results: [{ outcome: "settled", chargedMicro: 1_000 }] });
  });
});
