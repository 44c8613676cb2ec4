/** All SQL of audit-seal: functions of infra/db/migrations/0057_audit_chain.sql. Times are text, to the microsecond. */
import type { AuditRow } from "#shared/audit-chain.ts";
import type { Sql } from "#shared/db.ts";

/** Where sealing stands. */
export interface Position {
  day: string;
  rows: number;
  /** Null before the first day of all. */
  head: string | null;
  /** Of the day before; null where there is none. */
  previous: string | null;
  sealedUntil: string;
  /** Until when it can go on; null while somebody writes. */
  until: string | null;
}

export async function beginSeal(sql: Sql): Promise<Position> {
  const [row] = await sql<Position[]>`
    select day::text as day, rows, head, previous, sealed_until as "sealedUntil", until from begin_audit_seal()
  `;
  return row!;
}

/** The next rows before `until`, in the order of the chain. */
export async function nextRows(sql: Sql, after: { at: string; id: string }, until: string, rowsMax: number): Promise<AuditRow[]> {
  return sql<AuditRow[]>`
    select
      id::text as id, at, actor, action, operator_id as "operatorId", object_id as "objectId", reason,
      subject_commitment as "subjectCommitment", subject_alias as "subjectAlias", subject_salt as "subjectSalt"
    from audit_rows(${after.at}::text::timestamptz, ${after.id}::text::bigint, ${until}::text::timestamptz, ${rowsMax})
  `;
}

export interface SealedDay {
  day: string;
  rows: number;
  head: string;
  sealedUntil: string;
  /** All of it, signed. */
  statement: string;
}

export async function sealDay(sql: Sql, { day, rows, head, sealedUntil, statement }: SealedDay): Promise<void> {
  await sql`
    select seal_audit_day(
      ${day}::text::date, ${rows}, decode(${head}, 'hex'), ${sealedUntil}::text::timestamptz, ${statement}
    )
  `;
}
