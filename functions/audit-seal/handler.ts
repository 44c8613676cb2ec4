/**
 * Chains what was added to the audit log since the last run, day by day, and signs the head of each day (keep.audit).
 * A run that ends half way has sealed less: the next one goes on from there.
 */
import { setTimeout as delay } from "node:timers/promises";
import { dayAfter, type DayStatement, endOfDay, firstHead, nextHead } from "#shared/audit-chain.ts";
import { nextAuditRows } from "#shared/audit-rows.ts";
import { sqlState, type Sql } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import type { ReceiptSigner } from "#shared/receipts.ts";
import { createScheduledHandler } from "#shared/scheduled.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import { beginSeal, type Position, sealDay } from "./queries.ts";

export interface Deps {
  /** Opens one connection, which lives as long as a run. */
  open: () => Sql;
  signer: ReceiptSigner;
  log: Log;
}

type Skipped = "running_elsewhere" | "clock_in_doubt" | "busy";
type Answer = { outcome: "sealed" | Skipped };

/** Rows of one page: a few hundred kilobytes. */
const rowsMax = 1_000;

/** Each waits 100 ms for those who write, then lets others pass; one who writes for longer leaves it to the next run. */
const attemptsMax = 10;
const attemptPauseMs = 200;

export function createHandler({ open, signer, log }: Deps): (request: Request) => Promise<Response> {
  const exclusively = createSingleFlight(open, "audit-seal");

  return createScheduledHandler(async (): Promise<Answer> => {
    try {
      return (await exclusively(sealAll)) ?? skip("running_elsewhere");
    } catch (thrown) {
      if (sqlState(thrown) === "EP409") return skip("clock_in_doubt");
      log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      throw new EpithreError("unavailable", "Cannot seal the audit log: the database ended it; the next run goes on from there");
    }
  });

  function skip(reason: Skipped): Answer {
    log({ at: "audit_seal_skipped", reason });
    return { outcome: reason };
  }

  async function sealAll(sql: Sql): Promise<Answer> {
    const position = await begin(sql);
    if (!position) return skip("busy");
    const counted = { rows: 0, days: 0 };
    let { day, rows, previous, head, sealedUntil } = { ...position, previous: position.previous ?? firstHead, head: position.head ?? firstHead };
    for (;;) {
      const until = earlier(endOfDay(day), position.until);
      if (until > sealedUntil) {
        const added = await chain(sql, head, sealedUntil, until);
        head = added.head;
        rows += added.rows;
        const statement: DayStatement = { day, rows, previous, head, sealed_until: until };
        await sealDay(sql, { day, rows, head, sealedUntil: until, statement: signer.sign("epithre-audit-head-v1", statement) });
        counted.rows += added.rows;
        counted.days += 1;
      }
      if (until < endOfDay(day)) break;
      [day, rows, previous, sealedUntil] = [dayAfter(day), 0, head, until];
    }
    log({ at: "audit_sealed", ...counted });
    return { outcome: "sealed" };
  }
}

async function begin(sql: Sql): Promise<(Position & { until: string }) | undefined> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const { until, ...position } = await beginSeal(sql);
    if (until !== null) return { ...position, until };
    await delay(attemptPauseMs);
  }
  return undefined;
}

/** Chains the rows of a time, and answers how many there were and the head that they leave. */
async function chain(sql: Sql, before: string, from: string, until: string): Promise<{ rows: number; head: string }> {
  let head = before;
  let rows = 0;
  let after = { at: from, id: "0" };
  for (;;) {
    const page = await nextAuditRows(sql, after, until, rowsMax);
    for (const row of page) head = nextHead(head, row);
    rows += page.length;
    if (page.length < rowsMax) return { rows, head };
    after = page.at(-1)!;
  }
}

function earlier(one: string, other: string): string {
  return one < other ? one : other;
}
