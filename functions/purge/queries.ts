/** All SQL of purge: calls of functions of infra/db/migrations (see README.md), and nothing else; its role may no more. */
import type { Sql } from "#shared/db.ts";

/** A limit as one run applies it: days that live data may be kept, and hours that it goes before that. */
export interface LiveLimit {
  runId: string;
  liveDays: number;
  leadHours: number;
}

/** Nothing of purge stands in others' way for longer: what waits for a lock makes everybody behind it wait too. */
export async function limitLockWaits(sql: Sql): Promise<void> {
  await sql`set lock_timeout = '50ms'`;
}

export async function beginRun(sql: Sql, earlyDays: number): Promise<{ id: string; refused: boolean }> {
  const [row] = await sql<{ id: string; refused: boolean }[]>`
    select run_id as id, refused from begin_purge_run(${earlyDays})
  `;
  return row!;
}

export async function finishRun(sql: Sql, runId: string, stepsLeft: number): Promise<void> {
  await sql`select finish_purge_run(${runId}, ${stepsLeft})`;
}

/** Makes the usage slices of the coming days; answers how many were missing. */
export async function keepSlicesAhead(sql: Sql, runId: string): Promise<number> {
  const [row] = await sql<{ made: number }[]>`select keep_slices_ahead(${runId}) as made`;
  return row!.made;
}

/** Adds the oldest usage slice that has ended to the operator's books; answers 1 or 0. */
export async function bookSlice(sql: Sql, runId: string): Promise<number> {
  const [row] = await sql<{ booked: number }[]>`select book_usage_slice(${runId}) as booked`;
  return row!.booked;
}

/** Ends expired leases of up to `accountsMax` accounts; answers how many. */
export async function closeLeases(sql: Sql, runId: string, accountsMax: number): Promise<number> {
  const [row] = await sql<{ closed: number }[]>`select close_leases(${runId}, ${accountsMax}) as closed`;
  return row!.closed;
}

/** Drops the oldest usage slice that is due; answers 1 or 0 (keep.usage). */
export async function dropDueSlice(sql: Sql, { runId, liveDays, leadHours }: LiveLimit): Promise<number> {
  const [row] = await sql<{ dropped: number }[]>`
    select drop_due_usage_slice(${runId}, ${liveDays}, ${leadHours}) as dropped
  `;
  return row!.dropped;
}

/** Deletes up to `rowsMax` due rows of a table; answers how many. */
export async function deleteDueRows(
  sql: Sql,
  table: string,
  { runId, liveDays, leadHours }: LiveLimit,
  rowsMax: number,
): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_due_rows(${runId}, ${table}::purge_step, ${liveDays}, ${leadHours}, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** Deletes up to `rowsMax` rows of days of the audit log that are due; answers how many (keep.audit). */
export async function deleteDueAuditDays(sql: Sql, { runId, liveDays, leadHours }: LiveLimit, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_due_audit_days(${runId}, ${liveDays}, ${leadHours}, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** Deletes up to `rowsMax` operators who were disabled that long ago; answers how many (keep.audit). */
export async function deleteDueOperators(sql: Sql, { runId, liveDays, leadHours }: LiveLimit, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_due_operators(${runId}, ${liveDays}, ${leadHours}, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** Deletes up to `rowsMax` sessions or invites of operators that have expired; answers how many. */
export async function deleteExpiredLogins(sql: Sql, runId: string, table: string, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_expired_logins(${runId}, ${table}::purge_step, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** A limit in hours, which backups make no shorter. */
export interface HourLimit {
  liveHours: number;
  leadHours: number;
}

/** Deletes up to `rowsMax` claims that no longer count; answers how many. */
export async function deleteExpiredClaims(sql: Sql, runId: string, { liveHours, leadHours }: HourLimit, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_expired_claims(${runId}, ${liveHours}, ${leadHours}, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** Deletes up to `rowsMax` exports that are over; answers how many. */
export async function deleteExpiredExports(sql: Sql, runId: string, { liveHours, leadHours }: HourLimit, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    select delete_expired_exports(${runId}, ${liveHours}, ${leadHours}, ${rowsMax}) as deleted
  `;
  return row!.deleted;
}

/** Deletes up to `rowsMax` throttles that have ended; answers how many. */
export async function deleteEndedThrottles(sql: Sql, runId: string, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`select delete_ended_throttles(${runId}, ${rowsMax}) as deleted`;
  return row!.deleted;
}

/** Deletes up to `rowsMax` tokens that have expired; answers how many. */
export async function deleteExpiredTokens(sql: Sql, runId: string, rowsMax: number): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`select delete_expired_tokens(${runId}, ${rowsMax}) as deleted`;
  return row!.deleted;
}

/** Forgets up to `rowsMax` new addresses that nobody confirmed in time; answers how many. */
export async function forgetUnconfirmedEmails(sql: Sql, runId: string, hours: number, rowsMax: number): Promise<number> {
  const [row] = await sql<{ forgotten: number }[]>`select forget_unconfirmed_emails(${runId}, ${hours}, ${rowsMax}) as forgotten`;
  return row!.forgotten;
}

/** Closes up to `rowsMax` accounts whose address nobody verified in time; answers how many. */
export async function closeUnverified(sql: Sql, runId: string, days: number, rowsMax: number): Promise<number> {
  const [row] = await sql<{ closed: number }[]>`select close_unverified_accounts(${runId}, ${days}, ${rowsMax}) as closed`;
  return row!.closed;
}

/** Erases one account that is due, or `more`: up to `rowsMax` of its usage events (right.delete). */
export async function eraseDueAccount(
  sql: Sql,
  runId: string,
  graceDays: number,
  rowsMax: number,
): Promise<"none" | "more" | "erased"> {
  const [row] = await sql<{ outcome: "none" | "more" | "erased" }[]>`
    select erase_due_account(${runId}, ${graceDays}, ${rowsMax}) as outcome
  `;
  return row!.outcome;
}

/** What keys have used of their budgets in months that are over, and of their limits in minutes that are (keep.usage). */
export async function forgetKeyUse(sql: Sql, runId: string, rowsMax: number): Promise<number> {
  const [row] = await sql<{ forgotten: number }[]>`select forget_key_use(${runId}, ${rowsMax}) as forgotten`;
  return row!.forgotten;
}

/** The file that this run should write anew next, of those that something was deleted from; none was tried more often than that. */
export async function takeRewrite(sql: Sql, runId: string, triesMax: number): Promise<string | undefined> {
  const [row] = await sql<{ file: string | null }[]>`select take_rewrite(${runId}, ${triesMax}) as file`;
  return row!.file ?? undefined;
}

/** Writes a table, or a part or a slice of one, anew within this time, or not at all (57014). */
export async function rewrite(sql: Sql, file: string, msMax: number): Promise<void> {
  await sql`select set_config('statement_timeout', ${String(msMax)}, false)`;
  try {
    await sql`vacuum (full, freeze) ${sql(file)}`;
  } finally {
    await sql`reset statement_timeout`;
  }
}

/** Forgets the files that have been written anew; answers how many this run has written, and how many are left. */
export async function noteRewrites(sql: Sql, runId: string): Promise<{ done: number; remaining: number }> {
  const [row] = await sql<{ done: number; remaining: number }[]>`select done, remaining from note_rewrites(${runId})`;
  return row!;
}

/** Ends the segment of the write-ahead log that what was deleted is in: the next checkpoint removes it. */
export async function endLogSegment(sql: Sql): Promise<void> {
  await sql`select pg_switch_wal()`;
}
