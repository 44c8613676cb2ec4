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

/** The text of a one-dimensional array and back; Postgres quotes what has a comma, a brace, a quote or a space in it. */
function arrayType(oid: number, parseItem: (text: string) => unknown): postgres.PostgresType {
  const itemPattern = /"((?:[^"\\]|\\.)*)"|[^,{}]+/g;
  return {
    to: oid,
    from: [oid],
    serialize: (items: unknown) =>
      Array.isArray(items) ? `{${items.map((item) => `"${String(item).replace(/["\\]/g, "\\$&")}"`).join(",")}}` : items,
    parse: (text: string) =>
      Array.from(text.matchAll(itemPattern), ([bare, quoted]) => {
        if (quoted !== undefined) return parseItem(quoted.replace(/\\(.)/g, "$1"));
        return bare === "NULL" ? null : parseItem(bare);
      }),
  };
}

/**
 * Arrays that queries give and get, by their fixed numbers in Postgres. The driver would ask each new connection for
 * them, and ends the process when the database is killed just then (an unhandled rejection in fetchArrayTypes).
 */
const arrayTypes = {
  booleans: arrayType(1000, (text) => text === "t"),
  integers: arrayType(1007, Number),
  texts: arrayType(1009, String),
  bigints: arrayType(1016, BigInt),
  uuids: arrayType(2951, String),
};

/**
 * `bigint` columns come out as JavaScript `bigint`: a balance must not lose its last digits. Arrays of strings and
 * numbers can be given with a cast (`${ids}::uuid[]`), any other as text.
 */
export function connect({ url, connections = connectionsMax, statementTimeoutMs: timeoutMs = statementTimeoutMs }: DatabaseOptions): Sql {
  return postgres(url, {
    max: connections,
    connect_timeout: 2,
    backoff: () => reconnectS,
    fetch_types: false,
    types: { bigint: postgres.BigInt, ...arrayTypes },
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
