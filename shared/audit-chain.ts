/**
 * The chain of the audit log. Each row is hashed with the head that the row before left, days follow each other, and the
 * head of each day is signed, also while the day still grows. Whoever changes, adds or takes out a row of a sealed time
 * must find another row with the same hash, or the private key. Needs nothing but Node, like shared/receipts.ts.
 */
import { hash } from "node:crypto";

/** A row as the database tells it (audit_rows()): times in UTC to the microsecond, the commitment in hex. */
export interface AuditRow {
  id: string;
  at: string;
  actor: string;
  action: string;
  operatorId: string | null;
  objectId: string | null;
  reason: string | null;
  subjectCommitment: string | null;
  /** What the commitment is to, until the account is erased. Neither is chained. */
  subjectAlias: string | null;
  subjectSalt: string | null;
}

/** What is signed of a day, under the type `epithre-audit-head-v1`. */
export type DayStatement = {
  /** UTC, such as 2026-05-11. */
  day: string;
  /** How many. */
  rows: number;
  /** In hex: of the day before, and of this one. */
  previous: string;
  head: string;
  /** All rows before this time are in it; the day is whole once it is the day's end. */
  sealed_until: string;
};

/** The head before the first row of all. */
export const firstHead = "0".repeat(64);

/** The head after one more row. */
export function nextHead(head: string, row: AuditRow): string {
  const { id, at, actor, action, operatorId, objectId, reason, subjectCommitment } = row;
  return hash("sha256", JSON.stringify([head, id, at, actor, action, operatorId, objectId, reason, subjectCommitment]));
}

/** As audit_commitment() of the database. */
export function commitmentOf(salt: string, alias: string): string {
  const bytes = (uuid: string) => Buffer.from(uuid.replaceAll("-", ""), "hex");
  return hash("sha256", Buffer.concat([bytes(salt), bytes(alias)]));
}

/** `2026-05-11` -> `2026-05-12T00:00:00.000000Z`, in the form of a row's time. */
export function endOfDay(day: string): string {
  return `${dayAfter(day)}T00:00:00.000000Z`;
}

export function dayAfter(day: string): string {
  return new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
}
