/**
 * Applies every retention row of the policy and every erasure that is due, in small steps, and writes the evidence.
 * A run that ends half way leaves nothing half done: the next one does what is still due.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "#shared/clock.ts";
import { sqlState, type Sql } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import { createScheduledHandler } from "#shared/scheduled.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import { type BackupWindowDays, earlyDays } from "#shared/stored-data.ts";
import { beginRun, finishRun, limitLockWaits } from "./queries.ts";
import { booking, destructiveSteps, harmlessSteps, type Step } from "./steps.ts";

export interface Deps {
  /** Opens one connection, which lives as long as a run. */
  open: () => Sql;
  backupWindowDays: BackupWindowDays;
  clock: Clock;
  log: Log;
}

type Answer = { outcome: "finished" | "running_elsewhere" | "gap" };

/** Milliseconds of one run, below the gateway's time-out; what is left is due again in an hour. */
const runMsMax = 45_000;

/**
 * A step waits 50 ms for a lock, then lets others pass for 100 ms. A reader that stays longer than these attempts take
 * (exports read for less than a second at a time) leaves the step to the next run: limits have two hours of room.
 */
const lockAttemptsMax = 40;
const lockPauseMs = 100;

/** lock_not_available, deadlock_detected, serialization_failure: nothing was done. */
const lockStates = new Set(["55P03", "40P01", "40001"]);

export function createHandler({ open, backupWindowDays, clock, log }: Deps): (request: Request) => Promise<Response> {
  const exclusively = createSingleFlight(open, "purge");

  return createScheduledHandler(async (): Promise<Answer> => {
    try {
      return (await exclusively(purge)) ?? skip("running_elsewhere");
    } catch (thrown) {
      log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      throw new EpithreError("unavailable", "Cannot finish purge: the database ended it; what is left is done by the next run");
    }
  });

  function skip(reason: "running_elsewhere" | "gap"): Answer {
    log({ at: "purge_skipped", reason });
    return { outcome: reason };
  }

  async function purge(sql: Sql): Promise<Answer> {
    await limitLockWaits(sql);
    const startedMs = clock.monotonicMs();
    const elapsedMs = () => clock.monotonicMs() - startedMs;
    const run = await beginRun(sql, earlyDays(backupWindowDays));
    for (const step of harmlessSteps) await repeat(step);
    await repeat(booking).catch((thrown: unknown) => log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) }));
    if (run.refused) return skip("gap");

    const counted = { dropped: 0, deleted: 0, erased: 0 };
    let stepsLeft = 0;
    for (const step of destructiveSteps) {
      const { done, left } = await repeat(step);
      counted[step.counts] += done;
      stepsLeft += left ? 1 : 0;
    }
    await finishRun(sql, run.id, stepsLeft);
    log({ at: "purge_finished", ...counted, durationMs: Math.round(elapsedMs()) });
    return { outcome: "finished" };

    /** Does a step piece by piece until nothing is due, or time or patience with others' locks is over. */
    async function repeat({ act }: Pick<Step, "act">): Promise<{ done: number; left: boolean }> {
      let done = 0;
      let failures = 0;
      while (failures < lockAttemptsMax && elapsedMs() < runMsMax) {
        const piece = await act({ sql, runId: run.id, backupWindowDays }).catch(ifLocked);
        if (!piece) {
          failures += 1;
          await delay(lockPauseMs);
          continue;
        }
        done += piece.done;
        if (piece.then !== "more") return { done, left: piece.then === "later" };
      }
      return { done, left: true };
    }
  }
}

function ifLocked(thrown: unknown): undefined {
  if (!lockStates.has(sqlState(thrown))) throw thrown;
}
