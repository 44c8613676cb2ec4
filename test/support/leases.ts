/** Leases as one replica asks for them and reports on them, without a billing in between. */
import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import { moveLeases } from "../../functions/billing/queries.ts";
import type { Grant, GrantRequest, SyncAnswer, SyncRequest } from "../../functions/billing/schema.ts";

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
