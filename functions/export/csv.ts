/** CSV as RFC 4180 has it: CRLF after each record, quotes only where a cell needs them. */

/** A spreadsheet takes a cell that begins so as a formula, also behind quotes; the last four are its full-width forms. */
const formulaStart = /^[=+\-@\t\r\n＝＋－＠]/;

/** One record with its line end. A text that would run as a formula gets an apostrophe before it; numbers stay. */
export function csvRecord(cells: readonly (string | number)[]): string {
  return `${cells.map((cell) => (typeof cell === "number" ? String(cell) : quoted(disarmed(cell)))).join(",")}\r\n`;
}

function disarmed(text: string): string {
  return formulaStart.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
