/** All SQL of policy: the views of infra/db/migrations/0066_evidence.sql, and the catalogue. Times and counts, of all accounts together. */
import type { Sql } from "#shared/db.ts";

export interface LastPurge {
  /** Null before the first run that came to its end. */
  finishedAt: Date | null;
  earlyDays: number | null;
  stepsLeft: number | null;
  /** Since when a run waits for an operator, who must look at the clock. */
  refusedSince: Date | null;
}

export interface AuditHead {
  day: string;
  rows: number;
  head: string;
  sealedUntil: Date;
  /** All of it, signed with the key of audit-seal. */
  statement: string;
}

export interface CanaryScan {
  scannedAt: Date;
  bytesSearched: number;
  storesSearched: number;
  storesNotSearched: number;
  hits: number;
  controlsFound: number;
}

export interface Attestation {
  promise: string;
  /** SHA-256 in hex of the sentence that was attested. */
  sentenceDigest: string;
  statedAt: Date;
  expiresAt: Date;
}

/** By the database's clock, which purge goes by too. */
export async function readNow(sql: Sql): Promise<Date> {
  const [row] = await sql<{ now: Date }[]>`select now() as now`;
  return row!.now;
}

export async function readOldest(sql: Sql): Promise<{ store: string; oldestAt: Date | null }[]> {
  return sql<{ store: string; oldestAt: Date | null }[]>`select store, oldest_at as "oldestAt" from evidence_oldest`;
}

export async function readDueErasures(sql: Sql, graceDays: number): Promise<{ accounts: number; oldestClosedAt: Date | null }> {
  const [row] = await sql<{ accounts: bigint; oldestClosedAt: Date | null }[]>`
    select accounts, oldest_at as "oldestClosedAt" from evidence_due_erasures(${graceDays})
  `;
  return { accounts: Number(row!.accounts), oldestClosedAt: row!.oldestClosedAt };
}

export async function readLastPurge(sql: Sql): Promise<LastPurge> {
  const [row] = await sql<LastPurge[]>`
    select finished_at as "finishedAt", early_days as "earlyDays", steps_left as "stepsLeft", refused_since as "refusedSince"
    from evidence_purge
  `;
  return row!;
}

/** The limit in days that each step of the last run applied; null for steps whose limit is a moment of the row's own. */
export async function readPurgeLimits(sql: Sql): Promise<{ step: string; liveDays: number | null }[]> {
  return sql<{ step: string; liveDays: number | null }[]>`select step, live_days as "liveDays" from evidence_purge_limits`;
}

export async function readAuditHead(sql: Sql): Promise<AuditHead | null> {
  const [row] = await sql<AuditHead[]>`
    select day::text as day, rows, encode(head, 'hex') as head, sealed_until as "sealedUntil", statement from evidence_audit_head
  `;
  return row ?? null;
}

export async function readCanaryScan(sql: Sql): Promise<CanaryScan | null> {
  const [row] = await sql<(Omit<CanaryScan, "bytesSearched"> & { bytesSearched: bigint })[]>`
    select
      scanned_at as "scannedAt", bytes_searched as "bytesSearched", stores_searched as "storesSearched",
      stores_not_searched as "storesNotSearched", hits, controls_found as "controlsFound"
    from evidence_canary
  `;
  return row ? { ...row, bytesSearched: Number(row.bytesSearched) } : null;
}

export async function readAttestations(sql: Sql): Promise<Attestation[]> {
  return sql<Attestation[]>`
    select promise, encode(sentence_digest, 'hex') as "sentenceDigest", stated_at as "statedAt", expires_at as "expiresAt"
    from evidence_attestations order by promise
  `;
}

export async function readMigration(sql: Sql): Promise<string> {
  const [row] = await sql<{ name: string }[]>`select name from evidence_migration`;
  return row!.name;
}

/** Every column of every table that is no part of another, as `table.column`: the catalogue is open to each role. */
export async function readColumns(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.relname || '.' || a.attname as name
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'm', 'v', 'f') and not c.relispartition
      and a.attnum > 0 and not a.attisdropped
    order by 1
  `;
  return rows.map(({ name }) => name);
}

/** Names of rules that the database checks of each row. */
export async function readChecks(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select distinct conname as name from pg_constraint where connamespace = 'public'::regnamespace and contype = 'c' and convalidated
  `;
  return rows.map(({ name }) => name);
}

/** Roles that may change or delete a row of the audit log themselves, besides its owner. */
export async function readAuditChangers(sql: Sql): Promise<number> {
  const [row] = await sql<{ roles: bigint }[]>`
    select count(*) as roles from pg_roles
    where rolname like 'epithre\\_%' and rolname <> 'epithre_owner'
      and has_table_privilege(oid, 'public.audit_log', 'update, delete, truncate')
  `;
  return Number(row!.roles);
}
