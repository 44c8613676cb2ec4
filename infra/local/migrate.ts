/** Brings a database to the newest schema: roles, then migrations in order, then the usage slices of the next days. */
import { hash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import postgres from "postgres";
import type { FunctionName } from "#shared/flow.ts";

/** A connection as superuser, or as whoever owns database and roles. */
type OwnerSql = postgres.Sql<Record<string, unknown>>;

const databaseFolder = new URL("../db/", import.meta.url);

/** Functions with a database role; the others hold no database secret at all. */
export const databaseFunctions = [
  "key-auth",
  "usage-record",
  "billing",
  "export",
  "purge",
  "admin",
  "notify",
  "reconcile",
  "audit-seal",
  "accounts",
  "policy",
] as const satisfies FunctionName[];

export type DatabaseFunction = (typeof databaseFunctions)[number];

/** Attempts at making slices while other DDL is in the way, each waiting for at most 50 ms. */
const sliceAttemptsMax = 100;

/** `lock_not_available`. */
const lockNotAvailable = "55P03";

export function roleName(name: DatabaseFunction): string {
  return `epithre_${name.replaceAll("-", "_")}`;
}

/** `url` with another database, and another login where given. */
export function databaseUrl(url: string, database: string, login?: { user: string; password: string }): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  if (login) {
    changed.username = login.user;
    changed.password = encodeURIComponent(login.password);
  }
  return changed.href;
}

/** Makes the database where it is missing, and answers its URL for the same login. */
export async function ensureDatabase(url: string, database: string): Promise<string> {
  const sql = connectAsOwner(url);
  try {
    const [found] = await sql`select from pg_database where datname = ${database}`;
    if (!found) await sql`create database ${sql(database)}`;
  } finally {
    await sql.end();
  }
  return databaseUrl(url, database);
}

/** One connection for DDL; nothing is printed, since a notice can quote a value. */
export function connectAsOwner(url: string): OwnerSql {
  return postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
}

/**
 * Applies what is missing, each migration in its own transaction, and answers the names of those applied. Throws
 * where an applied migration has been edited since: the schema would no longer be what the files say.
 */
export async function migrate(sql: OwnerSql): Promise<string[]> {
  await sql.unsafe(readSql("roles.sql")).simple();
  await sql.begin(async (transaction) => {
    await transaction`set local role epithre_owner`;
    // "If not exists" alone lets two migrators collide.
    await transaction`select pg_advisory_xact_lock(hashtext('migrations'))`;
    await transaction`
      create table if not exists migrations (
        name text primary key,
        digest text not null,
        applied_at timestamptz not null default now()
      )
    `;
  });
  const applied: string[] = [];
  for (const name of migrationNames()) {
    if (await applyMigration(sql, name)) applied.push(name);
  }
  await ensureSlices(sql);
  // What a migration has made is sampled until this says otherwise.
  await sql`select stop_sampling()`;
  return applied;
}

function migrationNames(): string[] {
  return readdirSync(new URL("migrations/", databaseFolder))
    .filter((name) => /^\d{4}_[a-z_]+\.sql$/.test(name))
    .sort();
}

function applyMigration(sql: OwnerSql, name: string): Promise<boolean> {
  const text = readSql(`migrations/${name}`);
  const digest = hash("sha256", text);
  return sql.begin(async (transaction) => {
    await transaction`set local role epithre_owner`;
    // One migrator at a time: the next one finds what this one applied.
    await transaction`lock table migrations in exclusive mode`;
    const [found] = await transaction`select digest from migrations where name = ${name}`;
    if (found && found.digest === digest) return false;
    if (found) throw new Error(`Cannot migrate: ${name} was edited after it was applied; write a new migration`);
    await transaction.unsafe(text).simple();
    await transaction`insert into migrations (name, digest) values (${name}, ${digest})`;
    return true;
  });
}

function readSql(path: string): string {
  return readFileSync(new URL(path, databaseFolder), "utf8");
}

async function ensureSlices(sql: OwnerSql): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await sql`select ensure_usage_slices()`;
      return;
    } catch (thrown) {
      const code = thrown instanceof postgres.PostgresError ? thrown.code : undefined;
      if (code !== lockNotAvailable || attempt >= sliceAttemptsMax) throw thrown;
      await delay(10);
    }
  }
}

/** Gives roles their passwords. SQL has no parameters here, so the database itself quotes them. */
export async function setRolePasswords(sql: OwnerSql, passwords: Partial<Record<DatabaseFunction, string>>): Promise<void> {
  for (const [name, password] of Object.entries(passwords) as [DatabaseFunction, string][]) {
    const [row] = await sql<{ statement: string }[]>`
      select format('alter role %I password %L', ${roleName(name)}::text, ${password}::text) as statement
    `;
    await sql.unsafe(row!.statement).simple();
  }
}
