/** Postgres, by the one client that all functions use. Each function has its own role and its own secret. */
import postgres from "postgres";
import { z } from "zod";
import { secret } from "./config.ts";

export type Sql = postgres.Sql<{ bigint: bigint }>;

/** Connections of one process; a function that waits for one longer than its time-out answers 503. */
const connectionsMax = 4;

/** Seconds between attempts while the database is away: short, so that traffic is back within 2 s of its return. */
const reconnectS = 0.1;

/** Milliseconds that one statement may run; the batches that functions send take a few. */
const statementTimeoutMs = 4_000;

/** The secret with the connection URL of a function's role. */
export function databaseUrl(name: string) {
  return secret(`database-${name}`, z.url({ protocol: /^postgres(ql)?$/ }));
}

export interface DatabaseOptions {
  url: string;
  connections?: number;
  statementTimeoutMs?: number;
}

/** `bigint` columns come out as JavaScript `bigint`: a balance must not lose its last digits. */
export function connect({ url, connections = connectionsMax, statementTimeoutMs: timeoutMs = statementTimeoutMs }: DatabaseOptions): Sql {
  return postgres(url, {
    max: connections,
    connect_timeout: 2,
    backoff: () => reconnectS,
    types: { bigint: postgres.BigInt },
    // A notice can quote a row; nothing listens to them.
    onnotice: () => {},
    connection: { statement_timeout: timeoutMs, idle_in_transaction_session_timeout: 10_000, TimeZone: "UTC" },
  });
}

/** Five characters of SQLSTATE, or `"other"`: all that is ever said of a database error (its text can quote rows). */
export function sqlState(thrown: unknown): string {
  const code = thrown instanceof postgres.PostgresError ? thrown.code : "";
  return /^[0-9A-Z]{5}$/.test(code) ? code : "other";
}
