/** The audit log as its chain reads it: audit-seal to seal a day, admin to hand one out. Both must read the same. */
import type { AuditRow } from "./audit-chain.ts";
import type { Sql } from "./db.ts";

/** The next rows before `until`, in the order of the chain. Times are text, to the microsecond. */
export async function nextAuditRows(sql: Sql, after: { at: string; id: string }, until: string, rowsMax: number): Promise<AuditRow[]> {
  return sql<AuditRow[]>`
    select
      id::text as id, at, actor, action, operator_id as "operatorId", object_id as "objectId", reason,
      subject_commitment as "subjectCommitment", subject_alias as "subjectAlias", subject_salt as "subjectSalt"
    from audit_rows(${after.at}::text::timestamptz, ${after.id}::text::bigint, ${until}::text::timestamptz, ${rowsMax})
  `;
}
