/** Whether an exported audit log is what was sealed: each row, each day, and their order. */
import { type AuditRow, commitmentOf, dayAfter, type DayStatement, endOfDay, nextHead } from "#shared/audit-chain.ts";
import { openReceipt, type ReceiptKey, ReceiptRefused } from "#shared/receipts.ts";

/** What the text of each member of a row must be, where it is not null. */
const forms: Record<keyof AuditRow, RegExp> = {
  id: /^[1-9]\d{0,18}$/,
  at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
  actor: /^\w{1,64}$/,
  action: /^\w{1,64}$/,
  operatorId: /^[0-9a-f-]{36}$/,
  objectId: /^[0-9a-f-]{36}$/,
  reason: /^\w{1,64}$/,
  subjectCommitment: /^[0-9a-f]{64}$/,
  subjectAlias: /^[0-9a-f-]{36}$/,
  subjectSalt: /^[0-9a-f-]{36}$/,
};
const neverNull = ["id", "at", "actor", "action"];

interface OpenDay extends DayStatement {
  isFirst: boolean;
  /** What the rows so far come to. */
  found: { rows: number; head: string };
  last: { at: string; id: string } | undefined;
}

export interface Checked {
  /** The first day of which all rows were verified; undefined where the file has only a part of one. */
  from: string | undefined;
  /** All rows before this are verified. */
  until: string;
  days: number;
  rows: number;
  /** Rows that came after the last seal. */
  unsealed: number;
  /** A first day that purge has taken rows of: the others are verified without it. */
  leftOut: string | undefined;
}

/** Throws ReceiptRefused, in words, at the first thing that is not as it was sealed. */
export async function checkLog(lines: AsyncIterable<string>, keys: readonly ReceiptKey[]): Promise<Checked> {
  const checked: Checked = { from: undefined, until: "", days: 0, rows: 0, unsealed: 0, leftOut: undefined };
  let day: OpenDay | undefined;

  function beginDay(statement: string): void {
    const opened = openDay(statement, keys);
    if (day) {
      close(day);
      if (day.sealed_until !== endOfDay(day.day)) throw refused(`day ${day.day} was not sealed to its end, but another one follows`);
      if (opened.day !== dayAfter(day.day)) throw refused(`day ${dayAfter(day.day)} is missing after ${day.day}`);
      if (opened.previous !== day.head) throw refused(`day ${opened.day} was not sealed after the ${day.day} that is here`);
    }
    day = { ...opened, isFirst: !day, found: { rows: 0, head: opened.previous }, last: undefined };
  }

  function addRow(row: AuditRow): void {
    if (!day) throw refused("the file begins with a row; it must begin with the statement of a day");
    const { last, found } = day;
    const name = `row ${row.id} of ${row.at}`;
    if (!row.at.startsWith(day.day)) throw refused(`${name} stands in day ${day.day}`);
    if (last && (row.at < last.at || (row.at === last.at && BigInt(row.id) <= BigInt(last.id)))) throw refused(`${name} is out of order`);
    if (row.subjectAlias !== null && row.subjectSalt !== null && commitmentOf(row.subjectSalt, row.subjectAlias) !== row.subjectCommitment) {
      throw refused(`${name} names an account that it was not about`);
    }
    day.last = row;
    if (row.at >= day.sealed_until) checked.unsealed += 1;
    else day.found = { rows: found.rows + 1, head: nextHead(found.head, row) };
  }

  function close({ day: name, isFirst, found, rows, head, sealed_until: until }: OpenDay): void {
    checked.until = until;
    if (isFirst && found.rows < rows) {
      checked.leftOut = name;
      return;
    }
    if (found.rows !== rows) throw refused(`day ${name} has ${found.rows} rows, ${rows} were sealed`);
    if (found.head !== head) throw refused(`a row of day ${name} is not what was sealed`);
    checked.from ??= name;
    checked.days += 1;
    checked.rows += rows;
  }

  for await (const line of lines) {
    const read = readLine(line);
    if ("statement" in read) beginDay(read.statement);
    else addRow(read.row);
  }
  if (!day) throw refused("it is empty");
  close(day);
  return checked;
}

function openDay(statement: string, keys: readonly ReceiptKey[]): DayStatement {
  const opened = openReceipt(statement, keys);
  if (opened.type !== "epithre-audit-head-v1") throw refused("a statement in it is about something else");
  const day = opened.statement as unknown as DayStatement;
  if (day.rows === 0 && day.head !== day.previous) throw refused(`day ${day.day} has no rows, but another head than the day before`);
  return day;
}

/** One line of the export: `{"statement": ...}` begins a day, `{"row": {...}}` is one of its rows. */
function readLine(line: string): { statement: string } | { row: AuditRow } {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    throw refused("a line of it is not JSON");
  }
  const { statement, row, ...more } = membersOf(read);
  if (Object.keys(more).length === 0 && typeof statement === "string" && row === undefined) return { statement };
  if (Object.keys(more).length === 0 && statement === undefined && isRow(membersOf(row))) return { row: row as AuditRow };
  throw refused("a line of it is neither the statement of a day nor a row");
}

function isRow(row: Record<string, unknown>): boolean {
  const names = Object.keys(forms) as (keyof AuditRow)[];
  return Object.keys(row).length === names.length && names.every((name) => {
    const value = row[name];
    return value === null ? !neverNull.includes(name) : typeof value === "string" && forms[name].test(value);
  });
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

const refused = (problem: string) => new ReceiptRefused(`Cannot verify log: ${problem}`);
