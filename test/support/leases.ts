/** Leases as one replica asks for them and reports on them, without a billing in between. */
import { randomUUID } from "node:crypto";
import type postgres from "postgres";
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import type { LeaseAnswer, LeaseCall } from "../../functions/billing/lease-changes.ts";
import { moveLeasesInSet, moveLeasesOneByOne } from "../../functions/billing/queries.ts";
import type { Grant, GrantRequest, SyncAnswer, SyncRequest } from "../../functions/billing/schema.ts";

/** As billing does; inside a transaction, which goes on after what was tried in vain. */
export async function moveLeases(sql: Sql, calls: LeaseCall[], ttlMs: number): Promise<LeaseAnswer[]> {
  const inSet = isTransaction(sql)
    ? sql.savepoint((inner) => moveLeasesInSet(inner as unknown as Sql, calls, ttlMs)).catch(() => undefined)
    : moveLeasesInSet(sql, calls, ttlMs);
  return (await inSet) ?? moveLeasesOneByOne(sql, calls, ttlMs);
}

const isTransaction = (sql: unknown): sql is postgres.TransactionSql => typeof (sql as postgres.TransactionSql).savepoint === "function";

export async function grantLeases(sql: Sql, { replicaId, requests }: z.output<typeof GrantRequest>, ttlMs: number): Promise<Grant[]> {
  const [answer] = await moveLeases(sql, [{ replicaId, requests, reports: [] }], ttlMs);
  return answer!.grants;
}

export async function syncLeases(sql: Sql, { replicaId, leases: reports }: z.output<typeof SyncRequest>, ttlMs: number): Promise<SyncAnswer> {
  const [answer] = await moveLeases(sql, [{ replicaId, requests: [], reports }], ttlMs);
  return { leases: answer!.leases, recalled: answer!.recalled };
}

/** A lease of an account that can pay for it, for a minute; answers its id. */
export async function addLease(sql: Sql, accountId: string, micro = 100_000): Promise<string> {
  const requests = [{ accountId, leaseId: null, needsMicro: [micro], wantMicro: 0 }];
  const [grant] = await grantLeases(sql, { replicaId: randomUUID(), requests }, 60_000);
  if (grant?.outcome !== "granted") throw new Error(`the test expected a grant, not ${grant?.outcome}`);
  return grant.leaseId;
}
