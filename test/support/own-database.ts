/** A migrated database in a Postgres of its own, for tests of what lies in its files. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { prepareDatabase } from "#infra/local/database.ts";
import { removePostgres, startPostgres } from "#infra/local/postgres.ts";
import type { DatabaseFunction } from "#infra/local/migrate.ts";
import type { Sql } from "#shared/db.ts";

export interface OwnDatabase {
  /** As superuser; `bigint` columns come out as `bigint`. */
  sql: Sql;
  url: string;
  dataDirectory: string;
  urlFor(name: DatabaseFunction): string;
  stop(): Promise<void>;
}

export async function startOwnDatabase(): Promise<OwnDatabase> {
  const folder = mkdtempSync(join(tmpdir(), "epithre-files-"));
  chmodSync(folder, 0o711);
  const server = await startPostgres({ dataDir: folder });
  const { url, secrets } = await prepareDatabase(server.url, {
    value: (name) => Promise.resolve(`value-of-${name}`),
    changed: (name) => Promise.resolve(`value-of-${name}`),
  });
  const sql = postgres(url, { max: 8, types: { bigint: postgres.BigInt }, onnotice: () => {} });
  return {
    sql,
    url,
    dataDirectory: server.dataDirectory,
    urlFor: (name) => secrets[`database-${name}`]!,
    async stop() {
      await sql.end({ timeout: 5 });
      await server.stop();
      await removePostgres(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
