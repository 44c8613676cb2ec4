/** The monthly budget of a key, in the database: never overspent, whoever leases, settles late, or changes it. */
import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { connect } from "#shared/db.ts";
import { closeExpiredLeases, findBalance } from "../../functions/billing/queries.ts";
import type { Grant } from "../../functions/billing/schema.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { addKey, addModel, openAccount, settlement } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { grantLeases, syncLeases } from "../support/leases.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = connect({ url: database.urlFor("billing"), connections: 8 });
const usageRecord = connect({ url: database.urlFor("usage-record") });
await addModel(owner, "test-chat");

afterAll(async () => {
  await Promise.all([billing.end(), usageRecord.end()]);
  await database.close();
});

const ttlMs = 20_000;

/** A key with this budget, of an account with that credit. */
async function newKey(budgetMicro: number, creditMicro = 1_000_000) {
  const accountId = await openAccount(owner, creditMicro);
  const { keyId } = await addKey(owner, accountId);
  await owner`update api_keys set monthly_budget_micro = ${budgetMicro} where id = ${keyId}`;
  return { accountId, keyId };
}

type Key = Awaited<ReturnType<typeof newKey>>;

interface Ask {
  replicaId?: string;
  leaseId?: string | null;
  needs: number[];
  want?: number;
}

async function grant({ accountId, keyId }: { accountId: string; keyId?: string }, ask: Ask): Promise<Grant> {
  const { replicaId = randomUUID(), leaseId = null, needs, want = 0 } = ask;
  const request = { accountId, ...(keyId ? { keyId } : {}), leaseId, needsMicro: needs, wantMicro: want };
  const [answer] = await grantLeases(billing, { replicaId, requests: [request] }, ttlMs);
  return answer!;
}

async function granted(key: { accountId: string; keyId?: string }, ask: Ask): Promise<Extract<Grant, { outcome: "granted" }>> {
  const answer = await grant(key, ask);
  if (answer.outcome !== "granted") throw new Error(`the test expected a grant, not ${answer.outcome}`);
  return answer;
}

async function report(replicaId: string, leaseId: string, given: { returnMicro?: number; recallAnswered?: boolean; close?: boolean }) {
  const line = { leaseId, renew: false, returnMicro: 0, recallAnswered: false, close: false, ...given };
  return syncLeases(billing, { replicaId, leases: [line] }, ttlMs);
}

async function charge({ accountId, keyId }: Key, leaseId: string, costMicro: number): Promise<number> {
  const [result] = await settle(usageRecord, [settlement({ accountId, keyId, leaseId, costMicro })]);
  return result!.chargedMicro;
}

const spent = async ({ accountId, keyId }: Key) => Number((await findBalance(billing, accountId, keyId)).budget!.spentMicro);

/** The key's month is over: what the next call meets is the month after. */
const passMonth = ({ keyId }: Key) => owner`update key_budgets set month = month - interval '1 month' where key_id = ${keyId}`;

describe("lease_move() for a key with a budget", () => {
  test("grants up to the budget, exactly near its end, however much the account has", async () => {
    const key = await newKey(100);
    expect(await granted(key, { needs: [30, 30, 30, 30] })).toMatchObject({ grantedMicro: 90, needsCovered: 3 });
    expect(await grant(key, { needs: [30] })).toMatchObject({ outcome: "recalling" });
    const whole = await newKey(100);
    expect(await granted(whole, { needs: [100], want: 500 })).toMatchObject({ grantedMicro: 100 });
    const roomy = await newKey(1_000);
    expect(await granted(roomy, { needs: [10], want: 5_000 })).toMatchObject({ grantedMicro: 10 + 247 });
  });

  test("says that it is the budget, what is left of it and when it renews; an empty account is the account's fault", async () => {
    const key = await newKey(100);
    const lease = await granted(key, { needs: [80] });
    await charge(key, lease.leaseId, 80);
    const answer = await grant(key, { needs: [21] });
    expect(answer).toEqual({ outcome: "over_budget", availableMicro: 20, renewsAtMs: expect.any(Number) });
    const [row] = await owner<{ at: Date }[]>`select date_trunc('month', now(), 'UTC') + interval '1 month' as at`;
    expect(answer).toMatchObject({ renewsAtMs: row!.at.getTime() });
    const broke = await newKey(100, 50);
    expect(await grant(broke, { needs: [60] })).toEqual({ outcome: "insufficient", availableMicro: 50 });
  });

  test("leaves the other keys of the account what the account has, and takes nothing from theirs", async () => {
    const key = await newKey(100, 500);
    await granted(key, { needs: [100] });
    expect(await granted({ accountId: key.accountId }, { needs: [400] })).toMatchObject({ grantedMicro: 400 });
    const [row] = await owner`select leased_micro::int as leased from balances where account_id = ${key.accountId}`;
    expect(row).toEqual({ leased: 500 });
  });

  test("grows no lease of another key or of none", async () => {
    const key = await newKey(100);
    const replicaId = randomUUID();
    const shared = await granted({ accountId: key.accountId }, { replicaId, needs: [5] });
    const own = await granted(key, { replicaId, leaseId: shared.leaseId, needs: [5] });
    expect(own.leaseId).not.toBe(shared.leaseId);
    expect((await granted(key, { replicaId, leaseId: own.leaseId, needs: [5] })).leaseId).toBe(own.leaseId);
    expect((await granted({ accountId: key.accountId }, { replicaId, leaseId: own.leaseId, needs: [5] })).leaseId).not.toBe(own.leaseId);
  });

  test("asks other replicas for idle money of the key before it refuses, and no lease of another key", async () => {
    const key = await newKey(100);
    const [holder, asker, other] = [randomUUID(), randomUUID(), randomUUID()];
    await granted({ accountId: key.accountId }, { replicaId: other, needs: [50] });
    const lease = await granted(key, { replicaId: holder, needs: [100] });
    expect(await grant(key, { replicaId: asker, needs: [40] })).toMatchObject({ outcome: "recalling" });
    expect((await syncLeases(billing, { replicaId: other, leases: [] }, ttlMs)).recalled).toEqual([]);
    expect((await syncLeases(billing, { replicaId: holder, leases: [] }, ttlMs)).recalled).toEqual([lease.leaseId]);
    await report(holder, lease.leaseId, { returnMicro: 60, recallAnswered: true });
    expect(await granted(key, { replicaId: asker, needs: [40] })).toMatchObject({ grantedMicro: 40 });
  });

  test("does not wait for an answer that another key of the account waits for", async () => {
    const spending = await newKey(100, 500);
    const lease = await granted(spending, { needs: [100] });
    await charge(spending, lease.leaseId, 100);
    await granted({ accountId: spending.accountId }, { needs: [300] });
    expect(await grant({ accountId: spending.accountId }, { needs: [200] })).toMatchObject({ outcome: "recalling" });
    expect(await grant(spending, { needs: [1] })).toMatchObject({ outcome: "over_budget" });
  });

  test("of an account without money asks also the replica's own leases for other keys", async () => {
    const key = await newKey(1_000, 100);
    const replicaId = randomUUID();
    const shared = await granted({ accountId: key.accountId }, { replicaId, needs: [100] });
    expect(await grant(key, { replicaId, needs: [40] })).toMatchObject({ outcome: "recalling" });
    await report(replicaId, shared.leaseId, { returnMicro: 100, recallAnswered: true });
    expect(await granted(key, { replicaId, needs: [40] })).toMatchObject({ grantedMicro: 40 });
  });

  test("with a budget for 10 holds, three replicas that ask for 100 each get 10 together", async () => {
    const key = await newKey(70);
    const asks = Array.from({ length: 300 }, (_, index) => grant(key, { replicaId: replicas[index % 3]!, needs: [7] }));
    const answers = await Promise.all(asks);
    expect(answers.filter(({ outcome }) => outcome === "granted")).toHaveLength(10);
  });

  test("keeps no row for a key without a budget", async () => {
    const accountId = await openAccount(owner, 1_000);
    const { keyId } = await addKey(owner, accountId);
    await granted({ accountId }, { needs: [5] });
    expect(await owner`select from key_budgets where key_id = ${keyId}`).toHaveLength(0);
  });
});

const replicas = [randomUUID(), randomUUID(), randomUUID()];

describe("what a key has spent", () => {
  test("counts what leases have consumed, open, closed or expired, and nothing that they returned", async () => {
    const key = await newKey(1_000);
    const replicaId = randomUUID();
    const [closed, expired, open] = [
      await granted(key, { replicaId, needs: [300] }),
      await granted(key, { needs: [300] }),
      await granted(key, { needs: [300] }),
    ];
    for (const [index, { leaseId }] of [closed, expired, open].entries()) await charge(key, leaseId, 10 + index);
    expect(await spent(key)).toBe(33);
    await report(replicaId, closed.leaseId, { close: true });
    await owner`update leases set expires_at = now() - interval '1 ms' where id = ${expired.leaseId}`;
    await closeExpiredLeases(billing);
    expect(await spent(key)).toBe(33);
    expect(await grant(key, { needs: [1_000 - 21 - 300 + 1] })).toMatchObject({ outcome: "recalling" });
    expect(await granted(key, { needs: [1_000 - 21 - 300] })).toMatchObject({ grantedMicro: 679 });
  });

  test("is nothing in a new month, for which running leases count only with what they still consume", async () => {
    const key = await newKey(100);
    const lease = await granted(key, { needs: [100] });
    await charge(key, lease.leaseId, 60);
    expect(await grant(key, { needs: [60] })).toMatchObject({ outcome: "recalling" });
    await passMonth(key);
    expect(await spent(key)).toBe(0);
    // Of the running lease 40 are left, which may be spent in the new month.
    expect(await granted(key, { needs: [60] })).toMatchObject({ grantedMicro: 60 });
    expect(await spent(key)).toBe(0);
    await charge(key, lease.leaseId, 40);
    expect(await spent(key)).toBe(40);
    await owner`update leases set expires_at = now() - interval '1 ms' where key_id = ${key.keyId}`;
    await closeExpiredLeases(billing);
    expect(await spent(key)).toBe(40);
    expect(await grant(key, { needs: [61] })).toMatchObject({ outcome: "over_budget", availableMicro: 60 });
  });

  test("a settlement that comes after its lease takes what is left of the budget; the rest is the operator's loss", async () => {
    const key = await newKey(100);
    const late = await granted(key, { needs: [80] });
    await owner`update leases set expires_at = now() - interval '1 ms' where id = ${late.leaseId}`;
    const other = await granted(key, { needs: [70] });
    expect(await charge(key, late.leaseId, 80)).toBe(30);
    expect(await charge(key, other.leaseId, 70)).toBe(70);
    expect(await spent(key)).toBe(100);
    const free = await newKey(100);
    expect(await charge({ ...free, keyId: randomUUID() }, late.leaseId, 80)).toBe(80);
  });
});

describe("a changed budget", () => {
  const change = ({ keyId }: Key, budgetMicro: number | null) =>
    owner`select admin_set_key_limits(${keyId}, ${JSON.stringify({ monthly_budget_micro: budgetMicro })}::text::jsonb)`;

  test("is met by the next grant, and asks replicas for what is idle at once", async () => {
    const key = await newKey(1_000);
    const replicaId = randomUUID();
    const lease = await granted(key, { replicaId, needs: [100], want: 500 });
    await charge(key, lease.leaseId, 90);
    await change(key, 95);
    expect((await syncLeases(billing, { replicaId, leases: [] }, ttlMs)).recalled).toEqual([lease.leaseId]);
    expect(await grant(key, { replicaId, leaseId: lease.leaseId, needs: [1] })).toMatchObject({ outcome: "over_budget", availableMicro: 0 });
    await report(replicaId, lease.leaseId, { returnMicro: 1_000, recallAnswered: true });
    expect(await granted(key, { replicaId, leaseId: lease.leaseId, needs: [5] })).toMatchObject({ grantedMicro: 5 });
    await change(key, null);
    expect(await granted(key, { replicaId, needs: [5_000] })).toMatchObject({ grantedMicro: 5_000 });
  });
});
