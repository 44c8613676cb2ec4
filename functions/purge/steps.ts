/** The steps of a run, from the rows of the policy's retention data. Each does one bounded piece of work at a time. */
import { setTimeout as delay } from "node:timers/promises";
import { sqlState, type Sql } from "#shared/db.ts";
import {
  type BackupWindowDays, emailChangeHours, erasureGraceDays, limitHours, liveLimitDays, purgeLeadHours, retention, type Retention,
  unverifiedDays,
} from "#shared/stored-data.ts";
import {
  bookSlice, closeLeases, closeUnverified, deleteDueAuditDays, deleteDueOperators, deleteDueRows, deleteEndedThrottles, deleteExpiredClaims,
  deleteExpiredExports, deleteExpiredLogins, deleteExpiredTokens, dropDueSlice, eraseDueAccount, forgetKeyUse,
  endLogSegment, forgetUnconfirmedEmails, keepSlicesAhead, noteRewrites, rewrite, takeRewrite,
} from "./queries.ts";

export interface Run {
  sql: Sql;
  runId: string;
  backupWindowDays: BackupWindowDays;
}

/** `then`: whether more is due now, nothing is, or what is left has to wait for the next run. */
export interface Piece {
  done: number;
  then: "more" | "over" | "later";
}

export interface Step {
  /** Under which number of the log's line the work counts. */
  counts: "dropped" | "deleted" | "erased";
  act(run: Run): Promise<Piece>;
}

/** Rows, or accounts with leases, of one transaction: a few milliseconds, so nobody waits for it. */
const rowsMax = 1_000;

/**
 * Milliseconds for writing a file anew, waiting for its lock included: nobody who needs it waits for longer. Where it
 * takes longer, nothing is done and the evidence says that something is left (infra/decisions/0017-erasure.md).
 */
const rewriteMsMax = 100;

/** Milliseconds between two files: a call may need several. */
const rewritePauseMs = 100;

/** Times that one run tries a file. */
const rewriteTriesMax = 3;

/** `query_canceled`. */
const queryCanceled = "57014";

/** Slices that one run adds to the books: one ends every 4 hours, and summing them must leave time for what is due. */
const bookedPerRunMax = 6;

/** What is done even when deleting is refused: it makes room, and gives money back. */
export const harmlessSteps: Pick<Step, "act">[] = [
  { act: async ({ sql, runId }) => ({ done: await keepSlicesAhead(sql, runId), then: "over" }) },
  { act: async ({ sql, runId }) => piece(await closeLeases(sql, runId, rowsMax)) },
];

/** What sums up before anything goes. Nothing that is due waits for it: a run in which it fails deletes all the same. */
export const booking: Pick<Step, "act"> = { act: bookSlices };

export const destructiveSteps: Step[] = [
  { counts: "deleted", act: async ({ sql, runId }) => piece(await closeUnverified(sql, runId, unverifiedDays, rowsMax)) },
  ...retention.flatMap(stepFor),
  { counts: "deleted", act: async ({ sql, runId }) => piece(await forgetKeyUse(sql, runId, rowsMax)) },
  { counts: "deleted", act: rewriteFile },
];

/** What lives as long as its account has no step of its own: it is erased with the account. */
function stepFor(row: Retention): Step[] {
  switch (row.how) {
    case "drop_slice":
      return [{ counts: "dropped", act: async (run) => once(await dropDueSlice(run.sql, limitOf(row, run))) }];
    case "delete":
      return [{ counts: "deleted", act: async (run) => piece(await deleteDue(row, run)) }];
    case "delete_days":
      return [{ counts: "deleted", act: async (run) => piece(await deleteDueAuditDays(run.sql, limitOf(row, run), rowsMax)) }];
    case "expire":
      return [{ counts: "deleted", act: (run) => expire(row, run) }];
    case "erase":
      return [{ counts: "erased", act: eraseAccounts }];
    case "life_of_account":
      return [];
  }
}

function limitOf({ limit }: Retention, { runId, backupWindowDays }: Run) {
  return { runId, liveDays: liveLimitDays(limit, backupWindowDays), leadHours: purgeLeadHours };
}

async function bookSlices({ sql, runId }: Run): Promise<Piece> {
  let done = 0;
  while (done < bookedPerRunMax && (await bookSlice(sql, runId)) === 1) done += 1;
  return { done, then: "over" };
}

function deleteDue(row: Retention, run: Run): Promise<number> {
  if (row.table === "operators") return deleteDueOperators(run.sql, limitOf(row, run), rowsMax);
  return deleteDueRows(run.sql, row.table, limitOf(row, run), rowsMax);
}

/** What stops counting at a moment goes in the next run. */
async function expire({ table, limit }: Retention, { sql, runId }: Run): Promise<Piece> {
  const hours = { liveHours: limitHours(limit), leadHours: purgeLeadHours };
  switch (table) {
    case "idempotency_claims":
      return piece(await deleteExpiredClaims(sql, runId, hours, rowsMax));
    case "usage_exports":
      return piece(await deleteExpiredExports(sql, runId, hours, rowsMax));
    case "account_tokens":
      return piece(await deleteExpiredTokens(sql, runId, rowsMax));
    case "throttles":
      return piece(await deleteEndedThrottles(sql, runId, rowsMax));
    case "persons":
      return piece(await forgetUnconfirmedEmails(sql, runId, emailChangeHours, rowsMax));
    default:
      return piece(await deleteExpiredLogins(sql, runId, table, rowsMax));
  }
}

async function eraseAccounts({ sql, runId }: Run): Promise<Piece> {
  const outcome = await eraseDueAccount(sql, runId, erasureGraceDays, rowsMax);
  return { done: outcome === "erased" ? 1 : 0, then: outcome === "none" ? "over" : "more" };
}

/**
 * DELETE leaves the bytes in the file: each file that lost some is written anew without them, one at a time, so that
 * others pass between two. A file keeps what an old snapshot could still see; it stays listed until that has gone.
 */
async function rewriteFile({ sql, runId }: Run): Promise<Piece> {
  const file = await takeRewrite(sql, runId, rewriteTriesMax);
  if (file) await rewrite(sql, file, rewriteMsMax).catch(unlessTooLong);
  const { done, remaining } = await noteRewrites(sql, runId);
  if (file && remaining > 0) {
    await delay(rewritePauseMs);
    return { done: 0, then: "more" };
  }
  if (done > 0) await endLogSegment(sql);
  return { done: 0, then: remaining > 0 ? "later" : "over" };
}

function unlessTooLong(thrown: unknown): void {
  if (sqlState(thrown) !== queryCanceled) throw thrown;
}

/** A whole batch says that there may be more. */
function piece(done: number): Piece {
  return { done, then: done >= rowsMax ? "more" : "over" };
}

function once(done: number): Piece {
  return { done, then: done > 0 ? "more" : "over" };
}
