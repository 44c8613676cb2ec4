/**
 * What the billing benchmark runs on: one Postgres set as the product's, in it an empty database and a full one, and in
 * each the plain tables that raw inserts go to. A full one has 90 days of usage events, spread over their slices.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DatabaseFunction, connectAsOwner, databaseUrl, ensureDatabase, migrate, roleName, setRolePasswords } from "#infra/local/migrate.ts";
import { removePostgres, startPostgres } from "#infra/local/postgres.ts";
import { connect, type Sql } from "#shared/db.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";

/** Days that usage events live, and the slices of a day. */
const retentionDays = 90;
const slicesADay = 6;
export const benchModel = "bench-chat";
const passwords: Partial<Record<DatabaseFunction, string>> = { billing: "password-of-benchmarks", "usage-record": "password-of-benchmarks" };

export interface Stored {
  events: number;
  accounts: number;
}

export interface BenchDatabase {
  name: string;
  owner: Sql;
  /** Connections of the functions' own roles, and of the owner for raw inserts: the same number of each. */
  usageRecord: DatabasePool;
  billing: DatabasePool;
  raw: DatabasePool;
  /** Accounts under load, spread over all that are stored. */
  accounts: string[];
}

export interface Bench {
  empty: BenchDatabase;
  full: BenchDatabase;
  stop(): Promise<void>;
}

export interface BenchOptions {
  connections: number;
  accountsUnderLoad: number;
  stored: Stored;
}

export async function startDatabases({ connections, accountsUnderLoad, stored }: BenchOptions): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "epithre-bench-"));
  chmodSync(folder, 0o711);
  const server = await startPostgres({ dataDir: folder });
  const databases: BenchDatabase[] = [];

  async function add(name: string, { events, accounts }: Stored): Promise<BenchDatabase> {
    const url = await ensureDatabase(server.url, name);
    const migrator = connectAsOwner(url);
    await migrate(migrator);
    await setRolePasswords(migrator, passwords);
    await migrator.end();
    const owner = connect({ url, connections: 1, statementTimeoutMs: 0 });
    await fill(owner, events, accounts);
    const pool = (of: string) => createDatabasePool({ url: of, connections, log: () => {} });
    const as = (role: DatabaseFunction) => databaseUrl(url, name, { user: roleName(role), password: passwords[role]! });
    const made: BenchDatabase = {
      name,
      owner,
      usageRecord: pool(as("usage-record")),
      billing: pool(as("billing")),
      raw: pool(url),
      accounts: Array.from({ length: accountsUnderLoad }, (_, index) => accountId(Math.floor((index * accounts) / accountsUnderLoad))),
    };
    databases.push(made);
    return made;
  }

  async function stop(): Promise<void> {
    await Promise.all(databases.flatMap(({ owner, usageRecord, billing, raw }) => [owner.end(), usageRecord.close(), billing.close(), raw.close()]));
    await server.stop();
    await removePostgres(folder);
    rmSync(folder, { recursive: true, force: true });
  }

  try {
    const empty = await add("bench_empty", { events: 0, accounts: accountsUnderLoad });
    const full = await add("bench_full", stored);
    return { empty, full, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** Of the account with this number: `bench_account()` of billing.sql. */
const accountId = (number: number) => `019a0000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;

async function fill(owner: Sql, events: number, accounts: number): Promise<void> {
  await owner.unsafe(readFileSync(new URL("billing.sql", import.meta.url), "utf8")).simple();
  await owner`select create_model(${benchModel}, 'chat', 8192, 4096, 64, 0)`;
  await owner`select create_price(${benchModel}, now(), 5, 2, 20, 0)`;
  await owner`select bench_add_accounts(${accounts}::integer)`;
  const slices = events > 0 ? retentionDays * slicesADay : 0;
  for (let back = slices; back >= 1; back -= 1) {
    await owner`select bench_fill_slice(${back}::integer, ${Math.ceil(events / slices)}::integer, ${accounts}::integer)`;
  }
  await owner`vacuum analyze`;
  await owner`checkpoint`;
}
