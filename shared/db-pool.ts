/**
 * A function's calls to Postgres, each answered or refused in time: a caller that waits gets 503 before it gives up,
 * nothing piles up while the database is away, and the first call after its return succeeds.
 */
import { setTimeout as delay } from "node:timers/promises";
import postgres from "postgres";
import { connect, sqlState, type Sql } from "./db.ts";
import { EpithreError } from "./errors.ts";
import type { Log } from "./log.ts";

/** Connections of one process, each with one call at a time: a call never waits behind another one's locks. */
const connectionsDefault = 4;

/** Milliseconds that a call may wait for a connection. */
const slotTimeoutMs = 500;

/** Milliseconds after which Postgres ends a statement, and after which a silent connection counts as dead. */
const statementTimeoutDefaultMs = 1_200;
const answerTimeoutMs = 1_500;

/** Milliseconds within which a call that was rolled back for the sake of another one is made again, and between tries. */
const retryWithinMs = 250;
const retryDelayMs = 5;

/** serialization_failure, deadlock_detected, lock_not_available: nothing was done, and the next try finds the way free. */
const rolledBackStates = new Set(["40001", "40P01", "55P03"]);

/** Classes of SQLSTATE that say that the database cannot answer now: connection, resources, operator, system. */
const awayClasses = new Set(["08", "53", "57", "58"]);

export interface DatabasePool {
  /**
   * Runs one query, which must be one transaction. Throws `unavailable` when the database does not answer; whether
   * the query took effect is then unknown.
   */
  run<T>(query: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface DatabasePoolOptions {
  url: string;
  log: Log;
  connections?: number;
  /** Shorter than the default, where statements must not hold others up. */
  statementTimeoutMs?: number;
}

export function createDatabasePool({
  url, log, connections = connectionsDefault, statementTimeoutMs = statementTimeoutDefaultMs,
}: DatabasePoolOptions): DatabasePool {
  const open = () => connect({ url, connections, statementTimeoutMs });
  let sql = open();
  let free = connections;
  const waiting: (() => void)[] = [];
  let awaySinceMs: number | undefined;

  function takeSlot(): void | Promise<void> {
    if (free > 0) {
      free -= 1;
      return;
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(start), 1);
        reject(unavailable());
      }, slotTimeoutMs);
      function start(): void {
        clearTimeout(timer);
        resolve();
      }
      waiting.push(start);
    });
  }

  function releaseSlot(): void {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  }

  function noteAway(state: string): void {
    if (awaySinceMs !== undefined) return;
    awaySinceMs = performance.now();
    log({ at: "database_away", sqlState: state });
  }

  function noteBack(): void {
    if (awaySinceMs === undefined) return;
    log({ at: "database_back", awayMs: Math.round(performance.now() - awaySinceMs) });
    awaySinceMs = undefined;
  }

  /**
   * After a failure all connections are replaced: the driver's own way back can leave one with unsent bytes of its
   * former life. What is under way elsewhere may end, unless the database is silent.
   */
  function replace(dead: Sql, timeoutS: number): void {
    if (sql !== dead) return;
    sql = open();
    void dead.end({ timeout: timeoutS });
  }

  function explained(thrown: unknown, used: Sql): unknown {
    const state = sqlState(thrown);
    if (thrown === silence) replace(used, 0);
    else if (thrown instanceof postgres.PostgresError && !awayClasses.has(state.slice(0, 2))) {
      // EP...: what our own SQL refuses is a caller's mistake, not a fault.
      if (!state.startsWith("EP")) log({ at: "handler_failed", kind: "database", sqlState: state });
      return thrown;
    } else if (!isConnectionError(thrown)) return thrown;
    else if (!(thrown instanceof postgres.PostgresError)) replace(used, answerTimeoutMs / 1000);
    noteAway(state);
    return unavailable();
  }

  async function attempt<T>(query: (sql: Sql) => Promise<T>, startedMs: number): Promise<T> {
    const used = sql;
    try {
      const answer = await orSilence(query(used));
      noteBack();
      return answer;
    } catch (thrown) {
      const again = rolledBackStates.has(sqlState(thrown)) && performance.now() - startedMs < retryWithinMs;
      if (again) {
        await delay(retryDelayMs);
        return attempt(query, startedMs);
      }
      throw explained(thrown, used);
    }
  }

  return {
    async run(query) {
      await takeSlot();
      try {
        return await attempt(query, performance.now());
      } finally {
        releaseSlot();
      }
    },
    close: () => sql.end({ timeout: 5 }),
  };
}

function unavailable(): EpithreError {
  return new EpithreError("unavailable", "Cannot answer now: the database does not", { retryAfterS: 1 });
}

/** Errors of the driver (`CONNECTION_CLOSED`), of the network (`ECONNREFUSED`), or of a database that is away. */
function isConnectionError(thrown: unknown): boolean {
  if (thrown instanceof postgres.PostgresError) return true;
  return thrown instanceof Error && /^(CONNECT_TIMEOUT|CONNECTION_[A-Z]+|E[A-Z]+)$/.test((thrown as NodeJS.ErrnoException).code ?? "");
}

const silence = Symbol("silence");

async function orSilence<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, answerTimeoutMs, silence);
  });
  try {
    return await Promise.race([answer, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
