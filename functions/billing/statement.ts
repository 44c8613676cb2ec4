/**
 * What an account's month came to. Nothing of it is stored: it is the balance of a day ago, less what came between, read
 * in pieces so that no query takes long, however much an account uses. What is older than a day does not change any
 * more, so each statement of a month says the same, and the next month's goes on from it.
 */
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { boundsOf, dayMs, isMonth } from "./month.ts";
import { balanceAt, type BillingEvent, findEvents, findStatementMonths, findUsage, type ModelUsage } from "./queries.ts";

/** Milliseconds of usage that one query sums up: 250,000 requests take it 0.2 s of the 1.2 s that it may last. */
const pieceMs = dayMs / 2;

export interface Statement {
  accountId: string;
  /** `2026-11`. */
  month: string;
  openingMicro: bigint;
  /** In the order of time. */
  events: BillingEvent[];
  /** By the name of the model. */
  usage: ModelUsage[];
  closingMicro: bigint;
}

/** `epithre-statement-2026-11`, for the name of a file. */
export const statementName = (month: string) => `epithre-statement-${month}`;

/** Throws `not_found` for a month that cannot be had: malformed, not over for a day, before the account, or partly deleted. */
export async function readStatement(database: DatabasePool, accountId: string, month: string): Promise<Statement> {
  const { nowMs } = await requireMonth(database, accountId, month);
  const { startMs, endMs } = boundsOf(month);
  const settledMs = Math.max(endMs, nowMs - dayMs);

  const events = await database.run((sql) => findEvents(sql, accountId, startMs, settledMs));
  const usage = new Map<string, ModelUsage>();
  let usedSinceMicro = 0n;
  for (let fromMs = startMs; fromMs < settledMs; fromMs += pieceMs) {
    const rows = await database.run((sql) => findUsage(sql, accountId, fromMs, Math.min(fromMs + pieceMs, settledMs)));
    if (fromMs >= endMs) usedSinceMicro += sumOf(rows.map((row) => row.costMicro));
    else for (const row of rows) usage.set(row.model, added(usage.get(row.model), row));
  }
  const settledMicro = await database.run((sql) => balanceAt(sql, accountId, settledMs));
  // Purge may have dropped what was about to be read.
  await requireMonth(database, accountId, month);

  const inMonth = events.filter(({ at }) => at.getTime() < endMs);
  const lines = [...usage.values()].sort((one, other) => (one.model < other.model ? -1 : 1));
  const closingMicro = settledMicro + usedSinceMicro - sumOf(events.slice(inMonth.length).map((event) => event.amountMicro));
  const openingMicro = closingMicro + usedMicro(lines) - sumOf(inMonth.map((event) => event.amountMicro));
  return { accountId, month, openingMicro, events: inMonth, usage: lines, closingMicro };
}

/** What billing events added, and what usage took. */
export const creditedMicro = (events: readonly BillingEvent[]) => sumOf(events.map((event) => event.amountMicro));
export const usedMicro = (usage: readonly ModelUsage[]) => sumOf(usage.map((row) => row.costMicro));

const sumOf = (amounts: readonly bigint[]) => amounts.reduce((sum, amount) => sum + amount, 0n);

function added(one: ModelUsage | undefined, other: ModelUsage): ModelUsage {
  if (!one) return other;
  return {
    model: one.model,
    requests: one.requests + other.requests,
    promptTokens: one.promptTokens + other.promptTokens,
    cachedTokens: one.cachedTokens + other.cachedTokens,
    completionTokens: one.completionTokens + other.completionTokens,
    reasoningTokens: one.reasoningTokens + other.reasoningTokens,
    images: one.images + other.images,
    costMicro: one.costMicro + other.costMicro,
  };
}

/** Answers the database's time. */
async function requireMonth(database: DatabasePool, accountId: string, month: string): Promise<{ nowMs: number }> {
  if (!isMonth(month)) throw missing("write the month as 2026-11");
  const { months, nowMs } = await database.run((sql) => findStatementMonths(sql, accountId));
  if (months.includes(month)) return { nowMs };
  const { endMs } = boundsOf(month);
  if (endMs + dayMs > nowMs) throw missing("it can be had once the month has been over for a day, in Jakarta's time");
  if (endMs <= uuidv7TimeMs(accountId)) throw missing("the account was opened later");
  throw missing("usage is kept for 90 days, and some of this month's is deleted; GET /v1/billing/statements lists the months there are");
}

function missing(reason: string): EpithreError {
  return new EpithreError("not_found", `Cannot make this statement: ${reason}`);
}
