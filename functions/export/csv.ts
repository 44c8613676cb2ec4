/** CSV as RFC 4180 has it: CRLF after each record, quotes only where a cell needs them. */

/** A spreadsheet takes a cell that begins so as a formula, also behind quotes; the last four are its full-width forms. */
const formulaStart = /^[=+\-@\t\r\n＝＋－＠]/;

export type Cell = string | number;

/** After each record. */
export const lineEnd = "\r\n";

/** One record without its line end. A text that would run as a formula gets an apostrophe before it; numbers stay. */
export function csvRecord(cells: readonly Cell[]): string {
  return cells.map((cell) => (typeof cell === "number" ? String(cell) : quoted(disarmed(cell)))).join(",");
}

function disarmed(text: string): string {
  return formulaStart.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
