/** SQL of what operators look at (infra/db/migrations/0058_lookups.sql, 0059_abuse.sql). What names a person leaves a row. */
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import type { AbuseThresholds } from "./abuse.ts";
import type { FindAccounts, ReadAudit } from "./schema.ts";

export interface FoundAccount {
  accountId: string;
  status: string;
}

export async function findAccounts(sql: Sql, asked: z.output<typeof FindAccounts>): Promise<FoundAccount[]> {
  const { email = null, accountId = null, keyPrefix = null } = { email: undefined, accountId: undefined, keyPrefix: undefined, ...asked };
  return sql<FoundAccount[]>`select id as "accountId", status from admin_find_accounts(${email}, ${accountId}, ${keyPrefix})`;
}

/** As the database builds it: admin_read_account(). */
export async function readAccount(sql: Sql, accountId: string): Promise<object> {
  const [row] = await sql<{ account: object }[]>`select admin_read_account(${accountId}) as account`;
  return row!.account;
}

export async function listModels(sql: Sql, minutes: number): Promise<object[]> {
  const [row] = await sql<{ models: object[] }[]>`select admin_list_models(${minutes}) as models`;
  return row!.models;
}

export interface Engine {
  /** A digest of the address. */
  backend: string;
  models: string[];
  readAt: Date;
}

export async function listEngines(sql: Sql): Promise<Engine[]> {
  return sql<Engine[]>`select backend, models, read_at as "readAt" from admin_list_engines()`;
}

export interface AbuseSign {
  accountId: string;
  status: string;
  signal: "errors" | "left" | "rate_limit";
  counted: number;
  of: number;
}

export async function listAbuse(sql: Sql, thresholds: AbuseThresholds): Promise<AbuseSign[]> {
  const { minutes, callsMin, errorShare, leftShare, limitShare, limitedMinutesMin } = thresholds;
  return sql<AbuseSign[]>`
    select account_id as "accountId", status, signal, counted::float8 as counted, of_total::float8 as of
    from admin_list_abuse(${minutes}, ${callsMin}, ${errorShare}, ${leftShare}, ${limitShare}, ${limitedMinutesMin})
  `;
}

/** Throttles those who are beyond the thresholds, and forgets what has ended; answers how many it throttled. */
export async function throttleAbusers(sql: Sql, thresholds: AbuseThresholds, throttle: { requestsPerMinute: number; minutes: number }): Promise<number> {
  const { minutes, callsMin, errorShare, leftShare, limitShare, limitedMinutesMin } = thresholds;
  const [row] = await sql<{ throttled: number }[]>`
    select throttle_abusers(
      ${minutes}, ${callsMin}, ${errorShare}, ${leftShare}, ${limitShare}, ${limitedMinutesMin}, ${throttle.requestsPerMinute}, ${throttle.minutes}
    ) as throttled
  `;
  return row!.throttled;
}

export interface ThrottleRow {
  accountId: string;
  signal: AbuseSign["signal"];
  requestsPerMinute: number;
  beganAt: Date;
  endsAt: Date;
  lifted: boolean;
}

export async function listThrottles(sql: Sql): Promise<ThrottleRow[]> {
  return sql<ThrottleRow[]>`
    select
      account_id as "accountId", signal, requests_per_minute as "requestsPerMinute", began_at as "beganAt", ends_at as "endsAt", lifted
    from admin_list_throttles()
  `;
}

export async function liftThrottle(sql: Sql, accountId: string): Promise<void> {
  await sql`select admin_lift_throttle(${accountId})`;
}

export interface AuditEntry {
  id: string;
  /** UTC, to the microsecond. */
  at: string;
  actor: string;
  action: string;
  /** The operator's name. */
  operator: string | null;
  /** Whom it was about, until the account is erased. */
  accountId: string | null;
  objectId: string | null;
  reason: string | null;
}

export async function readAudit(sql: Sql, asked: z.output<typeof ReadAudit>, rowsMax: number): Promise<AuditEntry[]> {
  return sql<AuditEntry[]>`
    select id::text as id, at, actor, action, operator, account_id as "accountId", object_id as "objectId", reason
    from admin_read_audit(
      ${asked.accountId}, ${asked.operatorId}, ${asked.action}::text::audit_action, ${asked.from}::text::date, ${asked.to}::text::date + 1,
      ${asked.before?.at ?? null}::text::timestamptz, ${asked.before?.id ?? null}::text::bigint, ${rowsMax}
    )
  `;
}

export interface SealedDay {
  day: string;
  rows: number;
  head: string;
  sealedUntil: string;
}

export async function listAuditDays(sql: Sql, daysMax: number): Promise<SealedDay[]> {
  return sql<SealedDay[]>`
    select day::text as day, rows, head, sealed_until as "sealedUntil" from admin_list_audit_days(${daysMax})
  `;
}

/** The actions that the log knows. */
export async function listAuditActions(sql: Sql): Promise<string[]> {
  const rows = await sql<{ action: string }[]>`select unnest(enum_range(null::audit_action))::text as action order by 1`;
  return rows.map(({ action }) => action);
}

export async function exportDays(sql: Sql, { from, to }: { from: string | null; to: string | null }): Promise<{ day: string; statement: string }[]> {
  return sql<{ day: string; statement: string }[]>`
    select day::text as day, statement from admin_export_audit(${from}::text::date, ${to}::text::date)
  `;
}

export async function listPurgeRuns(sql: Sql, runsMax: number): Promise<object[]> {
  const [row] = await sql<{ runs: object[] }[]>`select admin_list_purge_runs(${runsMax}) as runs`;
  return row!.runs;
}
