/** `npm run schema`: migrates a database of its own and writes infra/db/schema.sql from it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsOwner, ensureDatabase, migrate } from "#infra/local/migrate.ts";
import { removePostgres, startPostgres } from "#infra/local/postgres.ts";
import { dumpSchema } from "./dump-schema.ts";

const folder = mkdtempSync(join(tmpdir(), "epithre-schema-"));
const server = await startPostgres({ dataDir: folder, settings: { fsync: "off" } });
try {
  const sql = connectAsOwner(await ensureDatabase(server.url, "epithre"));
  await migrate(sql);
  writeFileSync(new URL("schema.sql", import.meta.url), await dumpSchema(sql));
  await sql.end();
} finally {
  await server.stop();
  await removePostgres(folder);
  rmSync(folder, { recursive: true, force: true });
}
