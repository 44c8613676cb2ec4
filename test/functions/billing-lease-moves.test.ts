/** How calls that move leases share transactions, and that none is the worse for it. */
import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, test, vi } from "vitest";
import { systemClock } from "#shared/clock.ts";
import type { Sql } from "#shared/db.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { LeaseAnswer, LeaseCall } from "../../functions/billing/lease-changes.ts";
import { createLeaseMoves } from "../../functions/billing/lease-moves.ts";
import { grantsPerCallMax } from "../../functions/billing/schema.ts";
import { addKey, openAccount } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { moveLeases } from "../support/leases.ts";

const ttlMs = 20_000;

function asksOf(accountIds: string[], more: { replicaId?: string; need?: number; want?: number; keyId?: string; leaseId?: string } = {}): LeaseCall {
  const { replicaId = randomUUID(), need = 1, want = 0, keyId, leaseId = null } = more;
  const requests = accountIds.map((accountId) => ({ accountId, keyId, leaseId, needsMicro: [need], wantMicro: want }));
  return { replicaId, requests, reports: [] };
}

function reportOn(accountId: string | undefined, replicaId: string, leaseId: string, more: { returnMicro?: number; close?: boolean } = {}): LeaseCall {
  return { replicaId, requests: [], reports: [{ leaseId, accountId, renew: true, returnMicro: 0, recallAnswered: false, close: false, ...more }] };
}

describe("createLeaseMoves()", () => {
  /** Transactions that stay under way until the test ends them. */
  function stage() {
    const begun: { calls: LeaseCall[]; end(failure?: unknown): void }[] = [];
    let nowMs = 0;
    const move = createLeaseMoves({
      database: { run: (query) => query(undefined as never), close: async () => {} },
      clock: { ...systemClock, monotonicMs: () => nowMs },
      leaseTtlMs: ttlMs,
      moveInSet: (_, calls) =>
        new Promise((resolve, reject) => {
          const answers = calls.map(({ replicaId }): LeaseAnswer => ({ grants: [], leases: [], recalled: [replicaId] }));
          begun.push({ calls, end: (failure) => (failure ? reject(failure) : resolve(answers)) });
        }),
    });
    const begins = async (count: number) => {
      await vi.waitFor(() => expect(begun).toHaveLength(count), { interval: 1 });
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(begun).toHaveLength(count);
    };
    return { move, begun, begins, pass: (ms: number) => (nowMs += ms) };
  }

  test("gathers the calls of an account while it is moved, and answers each with its own", async () => {
    const { move, begun, begins } = stage();
    const calls = Array.from({ length: 6 }, () => asksOf(["a"]));
    const first = move(calls[0]!);
    await begins(1);
    const others = calls.slice(1).map(move);
    await begins(1);
    begun[0]!.end();
    await begins(2);
    expect(begun[1]!.calls).toEqual(calls.slice(1));
    begun[1]!.end();
    const answers = await Promise.all([first, ...others]);
    expect(answers.map(({ recalled }) => recalled)).toEqual(calls.map(({ replicaId }) => [replicaId]));
  });

  test("gathers what comes in one turn of the event loop", async () => {
    const { move, begun, begins } = stage();
    void move(asksOf(["a"]));
    void move(asksOf(["a", "b"]));
    void move(reportOn("b", "r", "l", { close: true }));
    await begins(1);
    expect(begun[0]!.calls).toHaveLength(3);
  });

  test("lets calls of other accounts pass, each in a transaction of its own while there are connections", async () => {
    const { move, begun, begins } = stage();
    for (const account of ["a", "a", "b", "c", "d", "e", "f"]) void move(asksOf([account]));
    await begins(4);
    expect(begun.map(({ calls }) => calls.flatMap(({ requests }) => requests.map(({ accountId }) => accountId)))).toEqual([
      ["a", "a"], ["b"], ["c"], ["d", "e", "f"],
    ]);
  });

  test("lets a renewal pass, which changes no balance", async () => {
    const { move, begun, begins } = stage();
    void move(asksOf(["a"]));
    await begins(1);
    void move(reportOn("a", "r", "l"));
    await begins(2);
    void move(reportOn("a", "r", "l", { returnMicro: 1 }));
    await begins(2);
    begun[0]!.end();
    await begins(3);
  });

  test("does not let later calls pass one that waits for two accounts", async () => {
    const { move, begun, begins } = stage();
    void move(asksOf(["a"]));
    await begins(1);
    const both = asksOf(["a", "b"]);
    void move(both);
    const later = asksOf(["b"]);
    void move(later);
    await begins(1);
    begun[0]!.end();
    await begins(2);
    expect(begun[1]!.calls).toEqual([both, later]);
  });

  test("puts no more rows into a transaction than one call may have", async () => {
    const { move, begun, begins } = stage();
    void move(asksOf(["a"]));
    await begins(1);
    const large = Array.from({ length: 3 }, () => asksOf(Array(grantsPerCallMax / 2).fill("a")));
    for (const call of large) void move(call);
    begun[0]!.end();
    await begins(2);
    expect(begun[1]!.calls).toEqual(large.slice(0, 2));
    begun[1]!.end();
    await begins(3);
    expect(begun[2]!.calls).toEqual(large.slice(2));
  });

  test("does calls again one by one where a transaction fails for one of them", async () => {
    const { move, begun, begins } = stage();
    const answers = ["a", "a", "a"].map((account) => move(asksOf([account])));
    const outcomes = Promise.allSettled(answers);
    await begins(1);
    const failure = new Error("one of them");
    begun[0]!.end(failure);
    for (const [at, each] of [undefined, failure, undefined].entries()) {
      await begins(at + 2);
      expect(begun[at + 1]!.calls).toHaveLength(1);
      begun[at + 1]!.end(each);
    }
    expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });

  test("does not go on with it for callers that have given up", async () => {
    const { move, begun, begins, pass } = stage();
    const outcomes = Promise.allSettled(["a", "a", "a"].map((account) => move(asksOf([account]))));
    await begins(1);
    begun[0]!.end(new Error("one of them"));
    await begins(2);
    pass(501);
    begun[1]!.end();
    expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await begins(2);
  });

  test("tells all when the database does not answer, and does nothing again", async () => {
    const { move, begun, begins } = stage();
    const outcomes = Promise.allSettled(["a", "a"].map((account) => move(asksOf([account]))));
    await begins(1);
    begun[0]!.end(new EpithreError("unavailable", "Cannot answer now: the database does not", { retryAfterS: 1 }));
    expect((await outcomes).map((each) => (each as PromiseRejectedResult).reason.kind)).toEqual(["unavailable", "unavailable"]);
    await begins(1);
  });

  test("refuses a call that waited too long to be answered in time", async () => {
    const { move, begun, begins, pass } = stage();
    void move(asksOf(["a"]));
    await begins(1);
    const late = move(asksOf(["a"]));
    pass(400);
    const punctual = move(asksOf(["a"]));
    pass(101);
    const refusal = expect(late).rejects.toMatchObject({ kind: "unavailable" });
    begun[0]!.end();
    await refusal;
    await begins(2);
    expect(begun[1]!.calls).toHaveLength(1);
    begun[1]!.end();
    await punctual;
  });
});

describe("calls of many replicas at once, in the database", async () => {
  const database = await createTestDatabase();
  const { sql: owner } = database;
  const pool = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
  let transactions = 0;
  const counting = { ...pool, run: ((query) => ((transactions += 1), pool.run(query))) as typeof pool.run };
  const move = createLeaseMoves({ database: counting, clock: systemClock, leaseTtlMs: ttlMs });

  afterAll(async () => {
    await pool.close();
    await database.close();
  });

  async function money(accountId: string) {
    const [row] = await owner<{ available: number; leased: number; granted: number }[]>`
      select (credited_micro - consumed_micro - leased_micro)::int as available, leased_micro::int as leased,
        (select coalesce(sum(granted_micro), 0)::int from leases l where l.account_id = b.account_id) as granted
      from balances b where account_id = ${accountId}
    `;
    return { ...row! };
  }

  const outcomes = (answers: LeaseAnswer[]) => answers.map(({ grants }) => grants[0]!.outcome);

  test("a hot account's are a few transactions, and each replica gets a lease of its own", async () => {
    const account = await openAccount(owner, 1_000_000);
    const before = transactions;
    const calls = Array.from({ length: 32 }, () => asksOf([account], { need: 10, want: 90 }));
    const answers = await Promise.all(calls.map(move));
    expect(transactions - before).toBeLessThan(8);
    expect(answers.map(({ grants }) => grants[0])).toEqual(
      calls.map(() => ({ outcome: "granted", leaseId: expect.any(String), grantedMicro: 100, needsCovered: 1, ttlMs })),
    );
    const rows = await owner<{ id: string; replica_id: string }[]>`select id, replica_id from leases where account_id = ${account}`;
    const own = new Map(rows.map(({ id, replica_id }) => [replica_id, id]));
    expect(answers.map(({ grants }) => (grants[0] as { leaseId: string }).leaseId)).toEqual(calls.map(({ replicaId }) => own.get(replicaId)));
    expect(await money(account)).toEqual({ available: 996_800, leased: 3_200, granted: 3_200 });
  });

  test("never get more together than the account has: with money for 10 holds, 10 are held (O1)", async () => {
    const account = await openAccount(owner, 1_099);
    const answers = await Promise.all(Array.from({ length: 50 }, () => move(asksOf([account], { need: 100 }))));
    expect(outcomes(answers).filter((outcome) => outcome === "granted")).toHaveLength(10);
    // The first to be refused ask the holders, whose answers they await.
    expect(outcomes(answers)).not.toContain("insufficient");
    expect(await money(account)).toEqual({ available: 99, leased: 1_000, granted: 1_000 });
  });

  test("are each answered as if it had come alone: rich, poor, unknown, within a budget or beyond it", async () => {
    const [rich, poor] = [await openAccount(owner, 1_000_000), await openAccount(owner, 5)];
    const { keyId } = await addKey(owner, rich);
    await owner`update api_keys set monthly_budget_micro = 15 where id = ${keyId}`;
    const all = [rich, poor];
    const calls = [
      asksOf(all, { need: 1 }), asksOf(all, { need: 10 }), asksOf([rich, randomUUID()], { need: 10 }),
      asksOf([rich], { need: 10, keyId }), asksOf([rich], { need: 10, keyId }), reportOn(rich, randomUUID(), randomUUID(), { close: true }),
    ];
    const before = transactions;
    const answers = await Promise.all(calls.map(move));
    // As a set, which fails, and one by one.
    expect(transactions - before).toBeLessThanOrEqual(2);
    expect(answers.map(({ grants }) => grants.map(({ outcome }) => outcome))).toEqual([
      ["granted", "granted"], ["granted", "recalling"], ["granted", "insufficient"], ["granted"], ["recalling"], [],
    ]);
    expect(answers[5]!.leases).toEqual([{ gone: true, ttlMs }]);
    expect(await money(poor)).toEqual({ available: 4, leased: 1, granted: 1 });
    expect(await money(rich)).toMatchObject({ leased: 31, granted: 31 });
  });

  test("what is given back in a transaction can be granted in it", async () => {
    const account = await openAccount(owner, 100);
    const replicaId = randomUUID();
    const { grants: [held] } = await move(asksOf([account], { replicaId, need: 100 }));
    const { leaseId } = held as { leaseId: string };
    const [asked] = await Promise.all([move(asksOf([account], { need: 60 })), move(reportOn(account, replicaId, leaseId, { returnMicro: 60 }))]);
    expect(asked.grants[0]).toMatchObject({ outcome: "granted", grantedMicro: 60 });
    expect(await money(account)).toEqual({ available: 0, leased: 100, granted: 100 });
  });

  test("one that was sent twice gives back once, and both are told that the lease lives", async () => {
    const account = await openAccount(owner, 1_000);
    const replicaId = randomUUID();
    const { grants: [held] } = await move(asksOf([account], { replicaId, need: 500 }));
    const report = reportOn(account, replicaId, (held as { leaseId: string }).leaseId, { returnMicro: 100 });
    const answers = await Promise.all([move(report), move(report)]);
    expect(answers.map(({ leases }) => leases)).toEqual([[{ gone: false, ttlMs }], [{ gone: false, ttlMs }]]);
    expect(await money(account)).toEqual({ available: 600, leased: 400, granted: 400 });
  });

  test("nobody moves another replica's lease, and its owner's report on it counts", async () => {
    const account = await openAccount(owner, 1_000_000);
    const replicaId = randomUUID();
    const { grants: [held] } = await move(asksOf([account], { replicaId, need: 500 }));
    const { leaseId } = held as { leaseId: string };
    const [stranger, own, grown] = await Promise.all([
      move(reportOn(account, randomUUID(), leaseId, { close: true })),
      move(reportOn(account, replicaId, leaseId, { returnMicro: 100 })),
      move(asksOf([account], { leaseId, need: 7 })),
    ]);
    expect([stranger, own].map(({ leases }) => leases[0]!.gone)).toEqual([true, false]);
    expect(grown.grants[0]).toMatchObject({ outcome: "granted", grantedMicro: 7 });
    expect((grown.grants[0] as { leaseId: string }).leaseId).not.toBe(leaseId);
    expect(await money(account)).toMatchObject({ leased: 407, granted: 407 });
  });

  test("leases are looked up one by one, also by plans that were made when there were none", async () => {
    const { sql: own, close } = await createTestDatabase();
    await own`vacuum analyze leases`;
    const account = await openAccount(own, 10 ** 9);
    const replicaId = randomUUID();
    const rows = 200;
    const [{ grants }] = (await moveLeases(own, [asksOf(Array(rows).fill(account), { replicaId })], ttlMs)) as [LeaseAnswer];
    const leases = grants.map((grant) => (grant as { leaseId: string }).leaseId);
    for (const call of [
      { replicaId, requests: leases.map((leaseId) => asksOf([account], { leaseId }).requests[0]!), reports: [] },
      { replicaId, requests: [], reports: leases.map((leaseId) => reportOn(account, replicaId, leaseId).reports[0]!) },
      { replicaId, requests: [], reports: leases.map((leaseId) => reportOn(account, replicaId, leaseId, { close: true }).reports[0]!) },
    ]) {
      await own.begin(async (transaction) => {
        const [answer] = await moveLeases(transaction as unknown as Sql, [call], ttlMs);
        expect([...answer!.grants, ...answer!.leases]).toHaveLength(rows);
        const [read] = await transaction<{ rows: number }[]>`
          select (seq_tup_read + idx_tup_fetch)::int as rows from pg_stat_xact_user_tables where relname = 'leases'
        `;
        expect(read!.rows).toBeGreaterThan(0);
        expect(read!.rows).toBeLessThan(10 * rows);
      });
    }
    await close();
  });

  test("an account keeps its balance while some of it is leased", async () => {
    const account = await openAccount(owner, 100);
    await move(asksOf([account], { need: 1 }));
    await expect(owner`delete from balances where account_id = ${account}`).rejects.toMatchObject({ code: "23503" });
    await owner`delete from leases where account_id = ${account}`;
  });
});
