/** A database of its own for each test file, cloned from the migrated template. */
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { connectAsOwner, type DatabaseFunction, databaseFunctions, databaseUrl, roleName } from "#infra/local/migrate.ts";
import type { Sql } from "#shared/db.ts";
import { waitFor } from "./wait.ts";

export const templateName = "epithre_template";

/** Of every function's role in the test run's Postgres, which listens on loopback and lives as long as the run. */
export const testPassword = "password-of-tests";

export interface TestDatabase {
  /** As superuser. */
  url: string;
  /** As superuser, with several connections; `bigint` columns come out as `bigint`. */
  sql: Sql;
  /** The database secret of a function: its own role. */
  urlFor(name: DatabaseFunction): string;
  close(): Promise<void>;
}

/** The same in two transactions, of which the second waits for the commit of the first; answers both. */
export async function bothAtOnce<T>(sql: Sql, work: (sql: Sql, second: boolean) => Promise<T>): Promise<T[]> {
  const [first, second] = [await sql.reserve(), await sql.reserve()];
  try {
    await first`begin`;
    const answer = await work(first, false);
    const [{ pid }] = (await second`select pg_backend_pid() as pid`) as unknown as [{ pid: number }];
    // A query begins when it is awaited.
    const waits = Promise.resolve(work(second, true));
    await waitFor("the second to wait", async () => (await sql`select from pg_locks where pid = ${pid} and not granted`).length > 0);
    await first`commit`;
    return [answer, await waits];
  } finally {
    await first`rollback`;
    first.release();
    second.release();
  }
}

export async function createTestDatabase(): Promise<TestDatabase> {
  const serverUrl = inject("postgresUrl");
  const database = `test_${randomUUID().replaceAll("-", "")}`;
  const server = connectAsOwner(serverUrl);
  await server`create database ${server(database)} template ${server(templateName)} strategy file_copy`;
  // Rights on a database itself are not cloned.
  await server`revoke all on database ${server(database)} from public`;
  for (const name of databaseFunctions) {
    await server`grant connect on database ${server(database)} to ${server(roleName(name))}`;
  }

  const url = databaseUrl(serverUrl, database);
  const sql = postgres(url, { max: 16, types: { bigint: postgres.BigInt }, onnotice: () => {} });
  return {
    url,
    sql,
    urlFor: (name) => databaseUrl(serverUrl, database, { user: roleName(name), password: testPassword }),
    async close() {
      await sql.end({ timeout: 5 });
      await server`drop database ${server(database)} with (force)`;
      await server.end();
    },
  };
}
