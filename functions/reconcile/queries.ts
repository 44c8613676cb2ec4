/** All SQL of reconcile: calls of the functions that its role may use (infra/db/migrations/0025_reconciliation.sql). */
import type { Sql } from "#shared/db.ts";
import type { Readings } from "./engines.ts";

/** By the database's clock, which request ids follow too. */
export async function readNow(sql: Sql): Promise<Date> {
  const [row] = await sql<{ now: Date }[]>`select now() as now`;
  return row!.now;
}

export async function recordCounters(sql: Sql, readAt: Date, { counters, missing }: Readings): Promise<void> {
  const lines = counters.map(({ backend, model, promptTokens, completionTokens }) => ({
    backend,
    model,
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
  }));
  await sql`select record_engine_counters(${readAt}, ${sql.json(lines)}, ${missing})`;
}

/** Sums the ledger beside the readings that are at least this old. */
export async function settleReconciliations(sql: Sql, settledAfterMs: number): Promise<void> {
  await sql`select settle_reconciliations(${settledAfterMs}::integer * interval '1 millisecond')`;
}

/** What the engines counted of a model, and what of it was settled. */
export interface Captured {
  model: string;
  enginesMissing: number;
  enginePromptTokens: number;
  engineCompletionTokens: number;
  ledgerPromptTokens: number;
  ledgerCompletionTokens: number;
}

export async function readCaptured(sql: Sql, windowMs: number): Promise<Captured[]> {
  const rows = await sql<Record<keyof Captured, string>[]>`
    select
      model, engines_missing as "enginesMissing", engine_prompt_tokens as "enginePromptTokens",
      engine_completion_tokens as "engineCompletionTokens", ledger_prompt_tokens as "ledgerPromptTokens",
      ledger_completion_tokens as "ledgerCompletionTokens"
    from captured_tokens(${windowMs}::integer * interval '1 millisecond')
  `;
  return rows.map((row) => ({
    model: row.model,
    enginesMissing: Number(row.enginesMissing),
    enginePromptTokens: Number(row.enginePromptTokens),
    engineCompletionTokens: Number(row.engineCompletionTokens),
    ledgerPromptTokens: Number(row.ledgerPromptTokens),
    ledgerCompletionTokens: Number(row.ledgerCompletionTokens),
  }));
}
