/** Claims of Idempotency-Keys for tests of the database: requests of one account that come with the same header. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import type { ClaimRequest, Settlement } from "../../functions/usage-record/schema.ts";
import { openAccount, settlement } from "./accounts.ts";
import { addLease } from "./leases.ts";

export interface Caller {
  accountId: string;
  leaseId: string;
}

/** An account with credit, of which a lease of a living proxy has half. */
export async function addCaller(sql: Sql): Promise<Caller> {
  const accountId = await openAccount(sql, 2_000_000);
  return { accountId, leaseId: await addLease(sql, accountId) };
}

/** As when its proxy was killed a while ago. */
export async function expireLease(sql: Sql, leaseId: string): Promise<void> {
  await sql`update leases set expires_at = now() - interval '1 ms' where id = ${leaseId}`;
}

export const newDigest = () => randomBytes(32).toString("hex");

/** A new request under these digests. */
export function claimRequest({ accountId, leaseId }: Caller, digests: string[], given: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    digests, accountId, leaseId, requestId: uuidv7(Date.now()), keyId: randomUUID(), model: "test-chat",
    endpoint: "chat.completions", priceVersion: 1, runsMs: 60_000, ...given,
  };
}

/** A claim as old as this, whatever became of its request; answers the request's id. */
export async function addClaim(sql: Sql, accountId: string, age: string): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into idempotency_claims (
      account_id, digest, request_id, key_id, lease_id, model_id, endpoint, price_version, claimed_at, runs_until
    ) values (
      ${accountId}, ${randomBytes(32)}, ${uuidv7(Date.now())}, ${randomUUID()}, ${randomUUID()}, 1, 'chat.completions', 1,
      now() - ${age}::interval, now()
    ) returning request_id as id
  `;
  return row!.id;
}

/** How the request of a claim ended; at the cost of 1,000 micro-rupiah unless told otherwise. */
export function endOf({ digests: _, runsMs: __, leaseId, ...ids }: ClaimRequest, given: Partial<Settlement> = {}): Settlement {
  return settlement({ ...ids, leaseId: leaseId!, ...given });
}
