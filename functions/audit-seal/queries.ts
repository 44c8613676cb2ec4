/** All SQL of audit-seal: functions of infra/db/migrations/0057_audit_chain.sql. Times are text, to the microsecond. */
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
