/** All that the scanner asks of the database. */
import { connect, type Sql } from "#shared/db.ts";
import type { CanaryScan } from "./scan.ts";

/** Milliseconds: a checkpoint writes all that is in memory. */
const statementTimeoutMs = 300_000;

/** The database writes to its files what it holds in memory; the login is a member of pg_checkpoint. */
export async function checkpoint(url: string): Promise<void> {
  await once(url, (sql) => sql`checkpoint`);
}

/** Puts the result into the evidence, by the login epithre_canary. */
export async function recordScan(url: string, row: CanaryScan): Promise<void> {
  await once(url, (sql) => sql`
    select record_canary_scan(${row.bytesSearched}, ${row.storesSearched}, ${row.storesNotSearched}, ${row.hits}, ${row.controlsFound})
  `);
}

async function once(url: string, work: (sql: Sql) => Promise<unknown>): Promise<void> {
  const sql = connect({ url, connections: 1, statementTimeoutMs });
  try {
    await work(sql);
  } catch {
    throw new Error("Cannot scan: the database does not answer, or refuses this login");
  } finally {
    await sql.end({ timeout: 1 });
  }
}
