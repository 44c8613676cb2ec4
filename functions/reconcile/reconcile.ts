/** One run: what the engines have counted since the last one, and what of an earlier time was settled. */
import { sqlState, type Sql } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import type { Engines } from "./engines.ts";
import type { ReconcileMetrics } from "./metrics.ts";
import { type Captured, readCaptured, readNow, recordCounters, settleReconciliations } from "./queries.ts";
import type { ReconcileAnswer } from "./schema.ts";

export interface Deps {
  /** Opens one connection, which lives as long as a run. */
  open: () => Sql;
  engines: Pick<Engines, "read">;
  metrics: ReconcileMetrics;
  log: Log;
  settledAfterMs: number;
  windowMs: number;
  captureRateMin: number;
  captureRateMax: number;
}

/** Tokens that a gap must have to be told: a call at the edge of the time is cut by an estimate of its share. */
const gapTokensMin = 1_000;

export function createReconcile(deps: Deps): () => Promise<ReconcileAnswer> {
  const { open, engines, metrics, log, settledAfterMs, windowMs, captureRateMin, captureRateMax } = deps;
  const exclusively = createSingleFlight(open, "reconcile");

  function isOutOfBand(captured: Captured): boolean {
    const { engine, ledger } = sums([captured]);
    const rate = ledger / engine;
    return Math.abs(engine - ledger) >= gapTokensMin && (rate < captureRateMin || rate > captureRateMax);
  }

  async function run(connection: Sql): Promise<ReconcileAnswer> {
    // Before the engines are asked: a call that begins meanwhile is after this time in the ledger too.
    const readAt = await readNow(connection);
    const readings = await engines.read();
    await recordCounters(connection, readAt, readings);
    await settleReconciliations(connection, settledAfterMs);
    const captured = await readCaptured(connection, windowMs);
    metrics.captured(captured, readings.missing);
    const outOfBand = captured.filter(isOutOfBand);
    if (outOfBand.length > 0) {
      const { engine, ledger } = sums(outOfBand);
      log({ at: "capture_out_of_band", models: outOfBand.length, engineTokens: engine, settledTokens: ledger, gapTokens: engine - ledger });
    }
    if (readings.missing > 0) log({ at: "engines_missing", engines: readings.missing });
    return { models: captured.length, outOfBand: outOfBand.length, enginesMissing: readings.missing };
  }

  return async function reconcile() {
    try {
      return (await exclusively(run)) ?? { models: 0, outOfBand: 0, enginesMissing: 0 };
    } catch (thrown) {
      log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      throw new EpithreError("unavailable", "Cannot reconcile now: the database does not answer; the next run does", { retryAfterS: 60 });
    }
  };
}

function sums(all: Captured[]): { engine: number; ledger: number } {
  return {
    engine: all.reduce((sum, each) => sum + each.enginePromptTokens + each.engineCompletionTokens, 0),
    ledger: all.reduce((sum, each) => sum + each.ledgerPromptTokens + each.ledgerCompletionTokens, 0),
  };
}
