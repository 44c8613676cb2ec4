/**
 * The work that the billing benchmark times: calls as usage-record and billing make them, and raw inserts of the same
 * rows in the same batches. Each worker is a replica of the proxy with one call under way.
 */
import { randomUUID } from "node:crypto";
import { systemClock } from "#shared/clock.ts";
import type { Sql } from "#shared/db.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { uuidv7 } from "#shared/ids.ts";
import type { LeaseAnswer, LeaseCall } from "../../functions/billing/lease-changes.ts";
import { createLeaseMoves, type MoveLeases } from "../../functions/billing/lease-moves.ts";
import { moveLeasesInSet } from "../../functions/billing/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";
import { benchModel, type BenchDatabase } from "./billing-database.ts";

/** Milliseconds: no lease ends during a run. */
const ttlMs = 3_600_000;
/** Micro-rupiah: more than a run spends of one lease, and little of what an account has. */
const grantMicro = 10 ** 13;
const costMicro = 740;

/** A call of one worker; answers how many rows it handled. */
export type Work = (worker: number) => Promise<number>;

export interface Load {
  workers: number;
  /** Rows in one call. */
  batch: number;
  /** How many of the accounts take part: 1 is a hot one. */
  accounts: number;
}

/** Calls that pick `batch` of the accounts, each time the next ones. */
function turns<Item>(items: Item[], batch: number): () => Item[] {
  let at = 0;
  return () =>
    Array.from({ length: batch }, () => {
      at = (at + 1) % items.length;
      return items[at]!;
    });
}

/** Settlements of ended calls, each on the worker's lease of the account. */
export async function settling(database: BenchDatabase, { workers, batch, accounts }: Load): Promise<Work> {
  const next = await Promise.all(
    Array.from({ length: workers }, async () => turns(await leasesOf(database, database.accounts.slice(0, accounts)), batch)),
  );
  return async (worker) => {
    const settlements = next[worker]!().map((lease): Settlement => settlementOn(lease));
    const results = await database.usageRecord.run((sql) => settle(sql, settlements));
    if (results.some(({ outcome, chargedMicro }) => outcome !== "settled" || chargedMicro !== costMicro)) {
      throw new Error("Cannot go on: a settlement was not taken as it came");
    }
    return batch;
  };
}

/** The same rows into a plain table. */
export function insertingEvents(database: BenchDatabase, { workers, batch, accounts }: Load): Work {
  const leases = database.accounts.slice(0, accounts).map((accountId) => ({ accountId, leaseId: "" }));
  const next = Array.from({ length: workers }, () => turns(leases, batch));
  return async (worker) => {
    const rows = next[worker]!().map((lease) => eventText(settlementOn(lease)));
    await database.raw.run((sql) => sql`insert into raw_events select * from unnest(${`{${rows.join(",")}}`}::raw_events[])`);
    return batch;
  };
}

interface Lease {
  accountId: string;
  leaseId: string;
}

/** One lease on each account, for one replica. */
async function leasesOf({ billing }: BenchDatabase, accounts: string[]): Promise<Lease[]> {
  const move = createLeaseMoves({ database: billing, clock: systemClock, leaseTtlMs: ttlMs });
  const replicaId = randomUUID();
  const leases: Lease[] = [];
  for (let at = 0; at < accounts.length; at += 200) leases.push(...(await grant(move, replicaId, accounts.slice(at, at + 200))));
  return leases;
}

async function grant(move: MoveLeases, replicaId: string, accounts: string[], known?: Lease[]): Promise<Lease[]> {
  const requests = accounts.map((accountId, index) => ({
    accountId,
    leaseId: known?.[index]!.leaseId ?? null,
    needsMicro: [grantMicro],
    wantMicro: 64 * grantMicro,
  }));
  const { grants } = await move({ replicaId, requests, reports: [] });
  return grants.map((each, index) => {
    if (each.outcome !== "granted") throw new Error(`Cannot go on: a grant was answered ${each.outcome}`);
    return { accountId: accounts[index]!, leaseId: each.leaseId };
  });
}

/** How many rows the transactions had that billing made of the replicas' calls. */
export interface Transactions {
  count: number;
  rows: number;
}

/** The life of leases, over and over: granted, grown, renewed with a part given back, closed. Each step is a call. */
export function leasing(database: BenchDatabase, load: Load, transactions: Transactions): Work {
  return lives(database, load, database.billing, async (sql, calls) => {
    transactions.count += 1;
    transactions.rows += rowsOf(calls);
    return moveLeasesInSet(sql, calls, ttlMs);
  });
}

/**
 * The same calls, gathered by the same code into the same batches; each row of them is inserted into a plain table, as a
 * lease.
 */
export function insertingGathered(database: BenchDatabase, load: Load): Work {
  return lives(database, load, database.raw, async (sql, calls) => {
    const rows = calls.flatMap(({ replicaId, requests, reports }) => [...requests, ...reports].map(({ accountId }) => leaseText(accountId!, replicaId)));
    await insertLeases(sql, rows);
    return calls.map(({ requests, reports }): LeaseAnswer => ({
      grants: requests.map(() => ({ outcome: "granted", leaseId: randomUUID(), grantedMicro: grantMicro, needsCovered: 1, ttlMs })),
      leases: reports.map(({ close }) => ({ gone: close, ttlMs })),
      recalled: [],
    }));
  });
}

function lives(database: BenchDatabase, { workers, batch, accounts }: Load, pool: DatabasePool, moveInSet: typeof moveLeasesInSet): Work {
  const moves = createLeaseMoves({ database: pool, clock: systemClock, leaseTtlMs: ttlMs, moveInSet });
  const replicas = Array.from({ length: workers }, (_, worker) => {
    // Replicas serve the same accounts, though not in step.
    const from = Math.floor((worker * accounts) / workers);
    const own = [...database.accounts.slice(from, accounts), ...database.accounts.slice(0, from)];
    return { id: randomUUID(), next: turns(own, batch), step: 0, leases: [] as Lease[] };
  });
  return async (worker) => {
    const replica = replicas[worker]!;
    const { id: replicaId } = replica;
    const step = replica.step % 4;
    if (step === 0) replica.leases = await grant(moves, replicaId, replica.next());
    else if (step === 1) await grant(moves, replicaId, replica.leases.map(({ accountId }) => accountId), replica.leases);
    else {
      const close = step === 3;
      const reports = replica.leases.map((lease) => ({ ...lease, renew: !close, returnMicro: close ? 0 : grantMicro, recallAnswered: false, close }));
      const { leases } = await moves({ replicaId, requests: [], reports });
      if (leases.some(({ gone }) => gone !== close)) throw new Error("Cannot go on: a lease was lost");
    }
    replica.step += 1;
    return batch;
  };
}

/** The same number of lease rows into a plain table, each worker's for itself. */
export function insertingLeases(database: BenchDatabase, { workers, batch, accounts }: Load): Work {
  const next = Array.from({ length: workers }, () => turns(database.accounts.slice(0, accounts), batch));
  return async (worker) => {
    const rows = next[worker]!().map((accountId) => leaseText(accountId, randomUUID()));
    await database.raw.run((sql) => insertLeases(sql, rows));
    return batch;
  };
}

const insertLeases = (sql: Sql, rows: string[]) => sql`insert into raw_leases select * from unnest(${`{${rows.join(",")}}`}::raw_leases[])`;

/** As a row of `leases`, columns in its order. */
const leaseText = (accountId: string, replicaId: string) => `"(${uuidv7(Date.now())},${accountId},${replicaId},${grantMicro},0,2030-01-01,,,)"`;

const rowsOf = (calls: LeaseCall[]) => calls.reduce((rows, { requests, reports }) => rows + requests.length + reports.length, 0);

const keyId = randomUUID();

function settlementOn({ accountId, leaseId }: Lease): Settlement {
  return {
    requestId: uuidv7(Date.now()),
    accountId,
    keyId,
    leaseId,
    model: benchModel,
    endpoint: "chat.completions",
    priceVersion: 1,
    promptTokens: 12,
    cachedTokens: 0,
    completionTokens: 34,
    reasoningTokens: 0,
    images: 0,
    costMicro,
    latencyMs: 56,
    status: 200,
  };
}

/** As a row of `usage_events`, columns in its order. */
function eventText(given: Settlement): string {
  const { requestId, accountId, keyId, promptTokens, cachedTokens, completionTokens, reasoningTokens, images } = given;
  return (
    `"(${requestId},${accountId},${keyId},${given.costMicro},${given.priceVersion},${promptTokens},${cachedTokens},` +
    `${completionTokens},${reasoningTokens},${images},${given.latencyMs},${given.endpoint},1,${given.status})"`
  );
}
