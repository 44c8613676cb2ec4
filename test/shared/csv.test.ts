import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { csvRecord, lineEnd } from "#shared/csv.ts";

/** Text of any characters, and of those that mean something to CSV or to a spreadsheet. */
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom('"', ",", "\r", "\n", "\t", "=", "+", "-", "@", "'", " ", "a", "＝") }),
);

function read(csv: string): string[][] {
  return parse(csv, { recordDelimiter: "\r\n" });
}

describe("csvRecord()", () => {
  test("writes what another reader reads back, cell by cell (right.export)", () => {
    const rows = fc.array(fc.array(text, { minLength: 2, maxLength: 5 }), { minLength: 1, maxLength: 5 });
    const sameWidth = rows.filter((all) => all.every((row) => row.length === all[0]!.length));
    fc.assert(
      fc.property(sameWidth, (all) => {
        const back = read(all.map(csvRecord).join(lineEnd));
        expect(back.map((row) => row.map((cell) => cell.replace(/^'(?=[=+\-@\t\r\n＝＋－＠])/, "")))).toEqual(
          all.map((row) => row.map((cell) => cell.replace(/^'(?=[=+\-@\t\r\n＝＋－＠])/, ""))),
        );
      }),
    );
  });

  test("lets no text begin as a formula", () => {
    fc.assert(
      fc.property(text, (cell) => {
        const [[first]] = read(csvRecord([cell, ""])) as [[string]];
        expect(first).not.toMatch(/^[=+\-@\t\r\n＝＋－＠]/);
      }),
    );
    expect(csvRecord(['=HYPERLINK("https://example.com")', "@sum", "-1", -1])).toBe(
      '"\'=HYPERLINK(""https://example.com"")",\'@sum,\'-1,-1',
    );
  });

  test("quotes only where it must", () => {
    expect(csvRecord(["a b", "", 7, 2n ** 60n, "1.000001", { figure: "-1.000001" }])).toBe("a b,,7,1152921504606846976,1.000001,-1.000001");
  });
});
