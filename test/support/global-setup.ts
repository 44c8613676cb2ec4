/** Once for a test run: one Postgres, one migrated template database, and a password for each function's role. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import {
  connectAsOwner, databaseFunctions, ensureDatabase, migrate, setRolePasswords,
} from "#infra/local/migrate.ts";
import { removePostgres, startPostgres } from "#infra/local/postgres.ts";
import { templateName, testPassword } from "./database.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Connects as superuser to the test run's Postgres. */
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "epithre-test-"));
  chmodSync(folder, 0o711);
  // Databases of tests need not survive the machine; a killed Postgres loses nothing either way.
  const server = await startPostgres({ dataDir: folder, settings: { fsync: "off", full_page_writes: "off" } });
  const sql = connectAsOwner(await ensureDatabase(server.url, templateName));
  await migrate(sql);
  await setRolePasswords(sql, Object.fromEntries(databaseFunctions.map((name) => [name, testPassword])));
  await sql.end();
  project.provide("postgresUrl", server.url);
  return async () => {
    await server.stop();
    await removePostgres(folder);
    rmSync(folder, { recursive: true, force: true });
  };
}
