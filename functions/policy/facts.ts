/** What the database says now, read by policy's own role in one snapshot. */
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Sql } from "#shared/db.ts";
import { erasureGraceDays } from "#shared/stored-data.ts";
import * as queries from "./queries.ts";

export interface Facts {
  /** By the database's clock. */
  measuredAt: Date;
  oldest: Awaited<ReturnType<typeof queries.readOldest>>;
  dueErasures: Awaited<ReturnType<typeof queries.readDueErasures>>;
  purge: queries.LastPurge;
  purgeLimits: Awaited<ReturnType<typeof queries.readPurgeLimits>>;
  auditHead: queries.AuditHead | null;
  auditChangers: number;
  canary: queries.CanaryScan | null;
  attestations: queries.Attestation[];
  columns: string[];
  checks: string[];
  migration: string;
}

export function readFacts(database: DatabasePool): Promise<Facts> {
  return database.run((connection) =>
    connection.begin("isolation level repeatable read read only", async (transaction) => {
      // A transaction answers queries as a connection does.
      const sql = transaction as unknown as Sql;
      return {
        measuredAt: await queries.readNow(sql),
        dueErasures: await queries.readDueErasures(sql, erasureGraceDays),
        purge: await queries.readLastPurge(sql),
        purgeLimits: await queries.readPurgeLimits(sql),
        auditHead: await queries.readAuditHead(sql),
        auditChangers: await queries.readAuditChangers(sql),
        canary: await queries.readCanaryScan(sql),
        attestations: await queries.readAttestations(sql),
        columns: await queries.readColumns(sql),
        checks: await queries.readChecks(sql),
        migration: await queries.readMigration(sql),
        // The last: it locks every slice of usage to the end, and purge must not wait to drop one.
        oldest: await queries.readOldest(sql),
      };
    }),
  ) as Promise<Facts>;
}
