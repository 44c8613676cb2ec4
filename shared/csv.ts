/** CSV as RFC 4180 has it: CRLF after each record, quotes only where a cell needs them. */

/** A spreadsheet takes a cell that begins so as a formula, also behind quotes; the last four are its full-width forms. */
const formulaStart = /^[=+\-@\t\r\n＝＋－＠]/;

/** A number whose digits a `number` would lose, such as an amount: goes in as it is written. */
export interface Figure {
  figure: string;
}

export type Cell = string | number | bigint | Figure;

/** After each record. */
export const lineEnd = "\r\n";

/** One record without its line end. A text that would run as a formula gets an apostrophe before it; numbers stay. */
export function csvRecord(cells: readonly Cell[]): string {
  return cells.map(cellText).join(",");
}

function cellText(cell: Cell): string {
  if (typeof cell === "string") return quoted(disarmed(cell));
  return typeof cell === "object" ? cell.figure : String(cell);
}

function disarmed(text: string): string {
  return formulaStart.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
