import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { connect, sqlState, type Sql } from "#shared/db.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { sign, signatureHeader } from "#shared/http.ts";
import { createHandler } from "../../functions/billing/handler.ts";
import { closeExpiredLeases, findBalance, findPriceBook } from "../../functions/billing/queries.ts";
import { type Grant, Model } from "../../functions/billing/schema.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { addModel, openAccount, postEvent, settlement } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { invoiceSettings } from "../support/invoices.ts";
import { grantLeases, syncLeases } from "../support/leases.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = connect({ url: database.urlFor("billing"), connections: 8 });

afterAll(async () => {
  await billing.end();
  await database.close();
});

const ttlMs = 20_000;

interface Ask {
  replicaId?: string;
  leaseId?: string | null;
  needs: number[];
  want?: number;
  ttlMs?: number;
}

async function grant(accountId: string, ask: Ask): Promise<Grant> {
  const request = { accountId, leaseId: ask.leaseId ?? null, needsMicro: ask.needs, wantMicro: ask.want ?? 0 };
  const replicaId = ask.replicaId ?? randomUUID();
  const [answer] = await grantLeases(billing, { replicaId, requests: [request] }, ask.ttlMs ?? ttlMs);
  return answer!;
}

async function granted(accountId: string, ask: Ask): Promise<Extract<Grant, { outcome: "granted" }>> {
  const answer = await grant(accountId, ask);
  if (answer.outcome !== "granted") throw new Error(`the test expected a grant, not ${answer.outcome}`);
  return answer;
}

interface Report {
  renew?: boolean;
  returnMicro?: number;
  recallAnswered?: boolean;
  close?: boolean;
}

async function sync(replicaId: string, reports: Record<string, Report> = {}, leaseTtlMs = ttlMs) {
  const leases = Object.entries(reports).map(([leaseId, report]) => ({
    leaseId, renew: false, returnMicro: 0, recallAnswered: false, close: false, ...report,
  }));
  return syncLeases(billing, { replicaId, leases }, leaseTtlMs);
}

async function money(accountId: string) {
  const [row] = await owner<{ credited: bigint; consumed: bigint; leased: bigint; granted: bigint }[]>`
    select credited_micro as credited, consumed_micro as consumed, leased_micro as leased,
      (select coalesce(sum(granted_micro), 0)::bigint from leases where account_id = ${accountId}) as granted
    from balances where account_id = ${accountId}
  `;
  return { credited: Number(row!.credited), consumed: Number(row!.consumed), leased: Number(row!.leased), granted: Number(row!.granted) };
}

async function consume(leaseId: string, micro: number): Promise<void> {
  await owner`update leases set consumed_micro = consumed_micro + ${micro} where id = ${leaseId}`;
}

async function expire(leaseId: string): Promise<void> {
  await owner`update leases set expires_at = now() - interval '1 millisecond' where id = ${leaseId}`;
}

async function refusal(query: Promise<unknown>): Promise<string> {
  try {
    await query;
  } catch (thrown) {
    return sqlState(thrown);
  }
  return "none";
}

describe("lease_move(), asked for money", () => {
  test("covers the longest prefix of the needs that the account can pay, exactly", async () => {
    const account = await openAccount(owner, 1_000);
    const answer = await granted(account, { needs: [300, 300, 300, 300, 50], want: 5_000 });
    expect(answer).toMatchObject({ grantedMicro: 900, needsCovered: 3, ttlMs });
    expect(await money(account)).toEqual({ credited: 1_000, consumed: 0, leased: 900, granted: 900 });
  });

  test("adds what the replica would like only while plenty is left", async () => {
    const account = await openAccount(owner, 10_000);
    expect(await granted(account, { needs: [1_000], want: 500 })).toMatchObject({ grantedMicro: 1_500, needsCovered: 1 });
    expect(await granted(account, { needs: [500], want: 1_000_000 })).toMatchObject({ grantedMicro: 2_500 });
    // 6,000 left: a quarter of the 4,000 that remain is no whole hold, so none is added.
    expect(await granted(account, { needs: [2_000], want: 1_000_000 })).toMatchObject({ grantedMicro: 2_000 });
    expect(await money(account)).toMatchObject({ leased: 6_000 });
  });

  test("grows the lease it is given, and makes a new one where that is gone or another's", async () => {
    const account = await openAccount(owner, 10_000);
    const replicaId = randomUUID();
    const { leaseId } = await granted(account, { replicaId, needs: [100] });
    expect((await granted(account, { replicaId, leaseId, needs: [200] })).leaseId).toBe(leaseId);
    expect((await granted(account, { leaseId, needs: [200] })).leaseId).not.toBe(leaseId);
    const other = await openAccount(owner, 10_000);
    expect((await granted(other, { replicaId, leaseId, needs: [200] })).leaseId).not.toBe(leaseId);
    await expire(leaseId);
    expect((await granted(account, { replicaId, leaseId, needs: [200] })).leaseId).not.toBe(leaseId);
    expect(await money(account)).toMatchObject({ leased: 400, granted: 400 });
  });

  test("ends the account's expired leases, however much else there is", async () => {
    const account = await openAccount(owner, 10_000);
    const { leaseId } = await granted(account, { needs: [300] });
    await consume(leaseId, 100);
    await expire(leaseId);
    await granted(account, { needs: [10] });
    expect(await money(account)).toEqual({ credited: 10_000, consumed: 100, leased: 10, granted: 10 });
  });

  test("covers needs of nothing without money, and says what there is where that is too little", async () => {
    const account = await openAccount(owner, 10);
    expect(await granted(account, { needs: [0, 10] })).toMatchObject({ grantedMicro: 10, needsCovered: 2 });
    expect(await granted(account, { needs: [0] })).toMatchObject({ grantedMicro: 0, needsCovered: 1 });
    expect(await grant(await openAccount(owner, 10), { needs: [11] })).toEqual({ outcome: "insufficient", availableMicro: 10 });
    expect(await grant(await openAccount(owner), { needs: [1] })).toEqual({ outcome: "insufficient", availableMicro: 0 });
    expect(await grant(randomUUID(), { needs: [0] })).toEqual({ outcome: "insufficient", availableMicro: 0 });
  });

  test("answers in the order of the request, also for one account twice", async () => {
    const [rich, poor] = [await openAccount(owner, 1_000), await openAccount(owner, 1)];
    const request = (accountId: string, need: number) => ({ accountId, leaseId: null, needsMicro: [need], wantMicro: 0 });
    const requests = [request(rich, 600), request(poor, 2), request(rich, 400), request(rich, 1)];
    const grants = await grantLeases(billing, { replicaId: randomUUID(), requests }, ttlMs);
    expect(grants.map(({ outcome }) => outcome)).toEqual(["granted", "insufficient", "granted", "insufficient"]);
    expect(await money(rich)).toMatchObject({ leased: 1_000 });
  });

  test("grants amounts up to 2^53 - 1 and never more at once", async () => {
    const account = await openAccount(owner, 2n ** 60n);
    const largest = Number.MAX_SAFE_INTEGER;
    expect(await granted(account, { needs: [largest, largest], want: largest })).toMatchObject({ grantedMicro: largest, needsCovered: 1 });
    const replicaId = randomUUID();
    const { leaseId } = await granted(account, { replicaId, needs: [largest] });
    // A lease would have more than an amount can be: there is a second one.
    expect((await granted(account, { replicaId, leaseId, needs: [1] })).leaseId).not.toBe(leaseId);
  });

  test("never leases more than the balance to replicas that ask at once", async () => {
    const accounts = await Promise.all([1_000, 777, 50].map((credit) => openAccount(owner, credit)));
    const asks = Array.from({ length: 120 }, (_, index) => {
      const requests = accounts.map((accountId) => ({
        accountId, leaseId: null, needsMicro: [7 + (index % 13), 3], wantMicro: 20,
      }));
      // Two replicas name the accounts in opposite orders: neither may wait for the other for ever.
      return grantLeases(billing, { replicaId: randomUUID(), requests: index % 2 ? requests : requests.reverse() }, ttlMs);
    });
    await Promise.all(asks);
    for (const account of accounts) {
      const { credited, leased, granted: sum } = await money(account);
      expect(leased).toBe(sum);
      expect(leased).toBeLessThanOrEqual(credited);
      expect(credited - leased).toBeLessThan(7);
    }
  });

  test("with money for 10 holds, three replicas that ask for 100 each get 10 together", async () => {
    const hold = 1_000;
    const account = await openAccount(owner, 10 * hold + 999);
    const replicas = [randomUUID(), randomUUID(), randomUUID()];
    let asking = true;
    // All that is leased is held, so replicas answer recalls with nothing.
    const answering = replicas.map(async (replicaId) => {
      while (asking) {
        const { recalled } = await sync(replicaId);
        await sync(replicaId, Object.fromEntries(recalled.map((id) => [id, { recallAnswered: true, renew: true }])));
      }
    });
    const asks = replicas.map(async (replicaId) => {
      let [holds, leaseId] = [0, null as string | null];
      for (;;) {
        const answer = await grant(account, { replicaId, leaseId, needs: Array(64).fill(hold), want: 64 * hold });
        if (answer.outcome === "insufficient") return holds;
        if (answer.outcome === "granted") [holds, leaseId] = [holds + answer.needsCovered, answer.leaseId];
      }
    });
    const holds = await Promise.all(asks);
    asking = false;
    await Promise.all(answering);
    expect(holds.reduce((sum, each) => sum + each, 0)).toBe(10);
    expect(await money(account)).toMatchObject({ leased: 10 * hold });
  });
});

test("grants, reports and settlements of the same accounts never wait for each other in a circle", async () => {
  await addModel(owner, "test-chat");
  const replicaId = randomUUID();
  const accounts = await Promise.all(Array.from({ length: 8 }, () => openAccount(owner, 1_000_000)));
  const leases = await Promise.all(accounts.map((account) => granted(account, { replicaId, needs: [100_000] })));
  const shuffled = <T>(items: T[]) => items.map((item) => ({ item, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
  const usageRecord = connect({ url: database.urlFor("usage-record") });
  const calls = {
    grant: () => {
      const requests = accounts.map((accountId, at) => ({ accountId, leaseId: leases[at]!.leaseId, needsMicro: [1], wantMicro: 0 }));
      return grantLeases(billing, { replicaId, requests: shuffled(requests) }, ttlMs);
    },
    sync: () => {
      const reports = leases.map(({ leaseId }): [string, Report] => [leaseId, { renew: true, returnMicro: 1 }]);
      return sync(replicaId, Object.fromEntries(shuffled(reports)));
    },
    settle: () => {
      const batch = accounts.map((accountId, at) => settlement({ accountId, leaseId: leases[at]!.leaseId, costMicro: 1 }));
      return settle(usageRecord, shuffled(batch));
    },
  };
  const worked = [calls.grant, calls.grant, calls.sync, calls.sync, calls.settle, calls.settle].map(async (call) => {
    for (let round = 0; round < 60; round += 1) await call();
  });
  await Promise.all(worked);
  await usageRecord.end();
  const [row] = await owner`select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()`;
  expect(row).toEqual({ deadlocks: 0 });
});

describe("recall", () => {
  test("idle money of one replica reaches another before anyone is told that there is none", async () => {
    const account = await openAccount(owner, 1_000);
    const [rich, poor] = [randomUUID(), randomUUID()];
    const { leaseId } = await granted(account, { replicaId: rich, needs: [900] });
    expect(await grant(account, { replicaId: poor, needs: [500] })).toMatchObject({ outcome: "recalling" });
    expect((await sync(poor)).recalled).toEqual([]);
    expect((await sync(rich)).recalled).toEqual([leaseId]);
    await sync(rich, { [leaseId]: { renew: true, returnMicro: 600, recallAnswered: true } });
    expect(await granted(account, { replicaId: poor, needs: [500] })).toMatchObject({ grantedMicro: 500 });
    expect(await money(account)).toMatchObject({ leased: 800, granted: 800 });
  });

  test("waits for every replica's answer, and is not asked again within a second", async () => {
    const account = await openAccount(owner, 1_000);
    const replicas = [randomUUID(), randomUUID()];
    const leases = await Promise.all(replicas.map((replicaId) => granted(account, { replicaId, needs: [500] })));
    expect(await grant(account, { needs: [10] })).toMatchObject({ outcome: "recalling" });
    await sync(replicas[0]!, { [leases[0]!.leaseId]: { recallAnswered: true, renew: true } });
    expect(await grant(account, { needs: [10] })).toMatchObject({ outcome: "recalling" });
    await sync(replicas[1]!, { [leases[1]!.leaseId]: { recallAnswered: true, renew: true } });
    expect(await grant(account, { needs: [10] })).toEqual({ outcome: "insufficient", availableMicro: 0 });
    await owner`update leases set recall_requested_at = recall_requested_at - interval '1 second' where account_id = ${account}`;
    expect(await grant(account, { needs: [10] })).toMatchObject({ outcome: "recalling" });
  });

  test("does not ask replicas that have nothing idle, nor the one that asks", async () => {
    const account = await openAccount(owner, 100);
    const replicaId = randomUUID();
    const { leaseId } = await granted(account, { replicaId, needs: [100] });
    expect(await grant(account, { replicaId, needs: [1] })).toMatchObject({ outcome: "insufficient" });
    await consume(leaseId, 100);
    expect(await grant(account, { needs: [1] })).toMatchObject({ outcome: "insufficient" });
  });

  test("of a dead replica ends with its lease", async () => {
    const account = await openAccount(owner, 100);
    const { leaseId } = await granted(account, { needs: [100] });
    expect(await grant(account, { needs: [100] })).toMatchObject({ outcome: "recalling" });
    await expire(leaseId);
    expect(await granted(account, { needs: [100] })).toMatchObject({ grantedMicro: 100 });
  });
});

describe("lease_move(), told of leases", () => {
  test("closes a lease: what was consumed stays consumed, the rest is available", async () => {
    const account = await openAccount(owner, 1_000);
    const replicaId = randomUUID();
    const { leaseId } = await granted(account, { replicaId, needs: [700] });
    await consume(leaseId, 150);
    expect((await sync(replicaId, { [leaseId]: { close: true } })).leases).toEqual([{ gone: true, ttlMs }]);
    expect(await money(account)).toEqual({ credited: 1_000, consumed: 150, leased: 0, granted: 0 });
    expect((await sync(replicaId, { [leaseId]: { close: true } })).leases).toEqual([{ gone: true, ttlMs }]);
    expect(await money(account)).toMatchObject({ consumed: 150 });
  });

  test("takes back no more than is idle", async () => {
    const account = await openAccount(owner, 1_000);
    const replicaId = randomUUID();
    const { leaseId } = await granted(account, { replicaId, needs: [700] });
    await consume(leaseId, 150);
    await sync(replicaId, { [leaseId]: { returnMicro: 5_000 } });
    expect(await money(account)).toMatchObject({ leased: 150, granted: 150 });
  });

  test("renews only the replica's own leases that still live", async () => {
    const account = await openAccount(owner, 1_000);
    const replicaId = randomUUID();
    const [alive, late, foreign] = [
      await granted(account, { replicaId, needs: [10] }),
      await granted(account, { replicaId, needs: [10] }),
      await granted(account, { needs: [10] }),
    ];
    await expire(late.leaseId);
    const renewed = { renew: true };
    const reports = { [alive.leaseId]: renewed, [late.leaseId]: renewed, [foreign.leaseId]: renewed, [randomUUID()]: renewed };
    const answer = await sync(replicaId, reports, 60_000);
    expect(answer.leases).toEqual([false, true, true, true].map((gone) => ({ gone, ttlMs: 60_000 })));
    const rows = await owner`select id from leases where expires_at > now() + interval '30 seconds' and account_id = ${account}`;
    expect(rows.map(({ id }) => id)).toEqual([alive.leaseId]);
  });

  test("of another replica's lease returns, answers and closes nothing", async () => {
    const account = await openAccount(owner, 1_000);
    const { leaseId } = await granted(account, { needs: [10] });
    await sync(randomUUID(), { [leaseId]: { returnMicro: 5, recallAnswered: true } });
    await sync(randomUUID(), { [leaseId]: { close: true } });
    expect(await money(account)).toMatchObject({ leased: 10, granted: 10 });
  });
});

describe("close_expired_leases()", () => {
  test("gives back what a replica that died never returned", async () => {
    const account = await openAccount(owner, 1_000);
    const { leaseId } = await granted(account, { needs: [700], ttlMs: 100 });
    await consume(leaseId, 100);
    const live = await granted(account, { needs: [50] });
    await expect.poll(async () => {
      await closeExpiredLeases(billing);
      return money(account);
    }).toEqual({ credited: 1_000, consumed: 100, leased: 50, granted: 50 });
    const rows = await owner`select id from leases where account_id = ${account}`;
    expect(rows.map(({ id }) => id)).toEqual([live.leaseId]);
  });
});

test("close_expired_leases() does not wait in a circle for settlements that come late", async () => {
  const [first, second] = [await openAccount(owner, 1_000), await openAccount(owner, 1_000)];
  // The accounts' order is the other way round than their leases'.
  const later = await granted(second, { needs: [500] });
  const earlier = await granted(first, { needs: [500] });
  await expire(later.leaseId);
  await expire(earlier.leaseId);
  let closing: Promise<void> | undefined;
  await owner.begin(async (settling) => {
    await settling`update leases set consumed_micro = 1 where id = ${later.leaseId}`;
    closing = closeExpiredLeases(billing);
    const [row] = await settling<{ pid: number }[]>`select pg_backend_pid() as pid`;
    const waits = () => owner`select from pg_stat_activity where datname = current_database() and ${row!.pid} = any (pg_blocking_pids(pid))`;
    await expect.poll(async () => (await waits()).length, { interval: 5 }).toBe(1);
    await settling`update leases set consumed_micro = 1 where id = ${earlier.leaseId}`;
  });
  await closing;
  for (const account of [first, second]) expect(await money(account)).toMatchObject({ consumed: 1, leased: 0 });
});

describe("the CHECKs of balances and leases", () => {
  test("refuse what the functions would never do (23514)", async () => {
    const account = await openAccount(owner, 100);
    const { leaseId } = await granted(account, { needs: [60] });
    expect(await refusal(owner`update balances set leased_micro = 101 where account_id = ${account}`)).toBe("23514");
    expect(await refusal(owner`update balances set consumed_micro = 41 where account_id = ${account}`)).toBe("23514");
    expect(await refusal(owner`update balances set consumed_micro = -1 where account_id = ${account}`)).toBe("23514");
    expect(await refusal(owner`update leases set consumed_micro = 61 where id = ${leaseId}`)).toBe("23514");
    expect(await refusal(owner`update leases set granted_micro = -1 where id = ${leaseId}`)).toBe("23514");
    expect(await refusal(owner`delete from balances where account_id = ${account}`)).toBe("23503");
  });
});

describe("post_billing_event()", () => {
  test("posts once for one key, however often it comes (keep.billing)", async () => {
    const account = await openAccount(owner);
    const event = { amountMicro: 500, idempotencyKey: randomUUID() };
    const ids = await Promise.all(Array.from({ length: 10 }, () => postEvent(owner, account, event)));
    expect(new Set(ids).size).toBe(1);
    expect(await money(account)).toMatchObject({ credited: 500 });
    expect(await owner`select from billing_events where account_id = ${account}`).toHaveLength(1);
  });

  test("refuses a key that came with another event (EP409)", async () => {
    const account = await openAccount(owner);
    const event = { amountMicro: 500, idempotencyKey: randomUUID() };
    await postEvent(owner, account, event);
    const others = [{ amountMicro: 501 }, { kind: "signup_credit" as const }, { reason: "goodwill" }];
    for (const other of others) expect(await refusal(postEvent(owner, account, { ...event, ...other }))).toBe("EP409");
    expect(await refusal(postEvent(owner, await openAccount(owner), event))).toBe("EP409");
    expect(await money(account)).toMatchObject({ credited: 500 });
  });

  test("refuses an unknown account (EP404), a wrong sign (23514), and to take what is leased or spent (EP402)", async () => {
    expect(await refusal(postEvent(owner, randomUUID(), { amountMicro: 1 }))).toBe("EP404");
    const account = await openAccount(owner, 1_000);
    expect(await refusal(postEvent(owner, account, { amountMicro: -1 }))).toBe("23514");
    expect(await refusal(postEvent(owner, account, { kind: "refund", amountMicro: 1 }))).toBe("23514");
    await granted(account, { needs: [400] });
    const refund = (amountMicro: number) => postEvent(owner, account, { kind: "refund", amountMicro, reason: "refund_requested" });
    expect(await refusal(refund(-601))).toBe("EP402");
    await refund(-600);
    expect(await money(account)).toEqual({ credited: 400, consumed: 0, leased: 400, granted: 400 });
  });

  test("writes entries that sum to zero, one on the customer and one on the other side", async () => {
    const account = await openAccount(owner);
    const sides = { top_up: "bank", signup_credit: "signup_credit_expense", adjustment: "adjustments", refund: "refunds" };
    for (const [kind, side] of Object.entries(sides) as [keyof typeof sides, string][]) {
      const amountMicro = kind === "refund" ? -70 : 100;
      const event = await postEvent(owner, account, { kind, amountMicro, reason: "correction" });
      const entries = await owner`
        select ledger_account, account_id, amount_micro from ledger_entries where event_id = ${event} order by ledger_account
      `;
      expect([...entries]).toEqual([
        { ledger_account: "customer", account_id: account, amount_micro: BigInt(amountMicro) },
        { ledger_account: side, account_id: null, amount_micro: BigInt(-amountMicro) },
      ]);
    }
    expect(await money(account)).toMatchObject({ credited: 230 });
  });
});

describe("the ledger", () => {
  test("is what functions/billing/README.md says of it, row by row", async () => {
    const rupiah = 1_000_000;
    const account = await openAccount(owner);
    const replicaId = randomUUID();
    const rows: number[][] = [];
    const look = async () => {
      const { credited, consumed, leased } = await money(account);
      const { balanceMicro, availableMicro } = await findBalance(billing, account);
      rows.push([credited, consumed, leased, Number(balanceMicro), Number(availableMicro)].map((micro) => micro / rupiah));
    };
    await postEvent(owner, account, { amountMicro: 100_000 * rupiah });
    await look();
    const { leaseId } = await granted(account, { replicaId, needs: [10_000 * rupiah] });
    await look();
    await consume(leaseId, 1_500 * rupiah);
    await look();
    await sync(replicaId, { [leaseId]: { close: true } });
    await look();
    await postEvent(owner, account, { kind: "refund", amountMicro: -98_500 * rupiah, reason: "refund_requested" });
    await look();
    const readme = readFileSync(new URL("../../functions/billing/README.md", import.meta.url), "utf8");
    const told = [...readme.matchAll(/^\| (?:a|requests|the) .+? ((?:\| [\d,]+ ){5})\|$/gm)];
    expect(rows).toEqual(told.map(([, cells]) => cells!.match(/[\d,]+/g)!.map((cell) => Number(cell.replaceAll(",", "")))));
  });

  test("explains each of its accounts, kinds and reasons in the database itself", async () => {
    const unexplained = await owner`
      select t.typname, e.enumlabel from pg_type t join pg_enum e on e.enumtypid = t.oid
      where t.typname in ('ledger_account', 'billing_kind', 'billing_reason')
        and coalesce(obj_description(t.oid, 'pg_type'), '') !~ ('\\y' || e.enumlabel || '\\y')
    `;
    expect([...unexplained]).toEqual([]);
  });

  test("refuses entries that do not sum to zero, or that miss the customer's", async () => {
    const account = await openAccount(owner);
    const post = (entries: (id: string, sql: Sql) => Promise<unknown>) =>
      owner.begin(async (transaction) => {
        const sql = transaction as unknown as Sql;
        const [event] = await sql<{ id: string }[]>`
          insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key)
          values (${account}, 'top_up', 5, 'bank_transfer', ${randomUUID()}) returning id
        `;
        await entries(event!.id, sql);
      });
    expect(await refusal(post(async () => {}))).toBe("EP500");
    expect(await refusal(post((id, sql) => sql`insert into ledger_entries values (${id}, 'customer', ${account}, 5)`))).toBe("EP500");
    expect(
      await refusal(
        post((id, sql) => sql`insert into ledger_entries values (${id}, 'customer', ${account}, 6), (${id}, 'bank', null, -6)`),
      ),
    ).toBe("EP500");
  });

  test("never changes; events go only at the end of their 7 years, with their entries (keep.billing)", async () => {
    const account = await openAccount(owner);
    const event = await postEvent(owner, account, { amountMicro: 5 });
    expect(await refusal(owner`update billing_events set amount_micro = 6 where id = ${event}`)).toBe("EP409");
    expect(await refusal(owner`update ledger_entries set amount_micro = 6 where event_id = ${event}`)).toBe("EP409");
    expect(await refusal(owner`delete from ledger_entries where event_id = ${event}`)).toBe("EP409");
    expect(await refusal(owner`delete from billing_events where id = ${event}`)).toBe("EP409");
    expect(await refusal(owner`truncate billing_events, ledger_entries, invoices`)).toBe("EP409");
    await owner.begin(async (sql) => {
      const [old] = await sql<{ id: string }[]>`
        insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key, created_at)
        values (${account}, 'top_up', 9, 'bank_transfer', ${randomUUID()}, now() - interval '7 years') returning id
      `;
      await sql`insert into ledger_entries values (${old!.id}, 'customer', ${account}, 9), (${old!.id}, 'bank', null, -9)`;
    });
    await owner`delete from billing_events where account_id = ${account} and created_at < now() - interval '6 years 350 days'`;
    expect(await owner`select from ledger_entries where account_id = ${account}`).toHaveLength(1);
  });
});

describe("the price book", () => {
  test("lists models with their prices, newest first, from the last one that every clock agrees on", async () => {
    await addModel(owner, "priced-chat");
    await owner`select create_model('unpriced-chat', 'chat', 10, 10, 0, 0)`;
    const prices = { "2 days": 1, "1 day": 2, "10 minutes": 3, "-3 days": 4 };
    for (const [ago, inputMicro] of Object.entries(prices)) {
      await owner`select create_price('priced-chat', now() - ${ago}::interval, ${inputMicro}::bigint, 0, 0, 0)`;
    }
    const book = await findPriceBook(billing);
    const model = Model.parse(book.find(({ id }) => id === "priced-chat"));
    expect(model.prices.map(({ inputMicro }) => inputMicro)).toEqual([4, 5_000, 3, 2]);
    expect(model).toMatchObject({ kind: "chat", contextTokens: 8_192, outputTokensMax: 4_096, templateTokens: 64, enabled: true });
    expect(book.some(({ id }) => id === "unpriced-chat")).toBe(false);
    expect(await refusal(owner`select create_price('no-such-model', now(), 1, 1, 1, 1)`)).toBe("EP404");
  });

  test("lists the lines of a price of images inside it, each with a version of its own", async () => {
    await owner`select create_model('priced-image', 'image', 10, 0, 0, 0)`;
    const [{ version }] = (await owner`select create_price('priced-image', now(), 1, 1, 0, 500) as version`) as any;
    const [{ line }] = (await owner`select create_price_line(${version}, '512x512', 'hd', 100) as line`) as any;
    const model = Model.parse((await findPriceBook(billing)).find(({ id }) => id === "priced-image"));
    expect(model.prices).toMatchObject([
      { version, imageMicro: 500, lines: [{ version: line, size: "512x512", quality: "hd", imageMicro: 100 }] },
    ]);
    expect(await refusal(owner`select create_price_line(${line}, '1x1', null, 1)`)).toBe("EP409");
    expect(await refusal(owner`select create_price_line(0, '1x1', null, 1)`)).toBe("EP404");
    expect(await refusal(owner`select create_price_line(${version}, null, null, 1)`)).toBe("23514");
  });

  test("never changes a version", async () => {
    const version = await addModel(owner, "fixed-chat");
    expect(await refusal(owner`update prices set input_micro = 0 where version = ${version}`)).toBe("EP409");
    expect(await refusal(owner`delete from prices where version = ${version}`)).toBe("EP409");
    expect(await refusal(owner`truncate prices`)).toBe("EP409");
  });
});

describe("billing's handler", () => {
  const edgeSecret = "an edge secret of tests";
  const database: DatabasePool = { run: (query) => query(billing), close: async () => {} };
  const handler = createHandler({
    edgeSecrets: { proxy: edgeSecret },
    database,
    statementDatabase: database,
    clock: systemClock,
    leaseTtlMs: 100,
    invoices: invoiceSettings,
  });

  async function call(path: string, body: unknown, secret = edgeSecret): Promise<{ status: number; answer: any }> {
    const text = JSON.stringify(body);
    const headers = { [signatureHeader]: sign(secret, { from: "proxy", to: "billing", path, body: text }) };
    const response = await handler(new Request(`http://billing${path}`, { method: "POST", headers, body: text }));
    return { status: response.status, answer: await response.json() };
  }

  test("answers the balance: events less what was consumed, in leases or before", async () => {
    const account = await openAccount(owner, 2n ** 60n);
    const { leaseId } = await granted(account, { needs: [1_000] });
    await consume(leaseId, 300);
    expect(await call("/balance", { accountId: account })).toEqual({
      status: 200,
      answer: { balanceMicro: String(2n ** 60n - 300n), availableMicro: String(2n ** 60n - 1_000n) },
    });
    expect(await findBalance(billing, randomUUID())).toEqual({ balanceMicro: "0", availableMicro: "0" });
  });

  test("closes expired leases of anybody while replicas report", async () => {
    const account = await openAccount(owner, 500);
    const request = { accountId: account, leaseId: null, needsMicro: [500], wantMicro: 0 };
    const { answer } = await call("/leases/grant", { replicaId: randomUUID(), requests: [request] });
    expect(answer.grants[0]).toMatchObject({ outcome: "granted", grantedMicro: 500, ttlMs: 100 });
    await expect.poll(async () => {
      await call("/leases/sync", { replicaId: randomUUID(), leases: [] });
      return (await money(account)).leased;
    }, { timeout: 10_000, interval: 100 }).toBe(0);
  });

  test("refuses what is not signed by its caller, or has a field too many", async () => {
    expect((await call("/balance", { accountId: randomUUID() }, "another secret")).status).toBe(401);
    expect((await call("/balance", { accountId: randomUUID(), prompt: "x" })).status).toBe(400);
    expect((await call("/ledger", {})).status).toBe(404);
  });

  test("lists the price book", async () => {
    await addModel(owner, "listed-chat");
    const { answer } = await call("/price-book", {});
    expect(answer.models.map(({ id }: Model) => id)).toContain("listed-chat");
  });
});
