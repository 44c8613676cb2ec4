import { createPrivateKey } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { check, readKeySet } from "#infra/receipts/check.ts";
import { recordsOf } from "#infra/receipts/csv-file.ts";
import { makeReceiptKey, publicKeyOf } from "#infra/receipts/key.ts";
import { uuidv7 } from "#shared/ids.ts";
import { createMerkleTree } from "#shared/merkle.ts";
import { createReceiptSigner, type Statement } from "#shared/receipts.ts";
import { launch } from "../support/child-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { runVerify, verifyReceipt, type Given, type Verdict } from "../support/verify-receipt.ts";

const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
const retired = createReceiptSigner(createPrivateKey(makeReceiptKey()));
const keys = { keys: [signer.key, retired.key] };

const columns = "time,request_id,model,cost_rupiah,price_version";
const ids = Array.from({ length: 5 }, (_, index) => uuidv7(Date.UTC(2026, 4, 31) + index)).sort();
const rows = ids.map((id, index) => `2026-05-31T00:00:00.00${index}Z,${id},test-chat,5.00000${index},7`);
const csv = [columns, ...rows].map((record) => `${record}\r\n`).join("");
const signedAt = "2026-06-01T12:00:00.000Z";

function usageReceipt(by = signer) {
  const statement = { object: "usage.event", request_id: ids[2]!, model: "test-chat", cost_rupiah: "5.000002", price_version: 7, signed_at: signedAt };
  return { ...statement, receipt: by.sign("epithre-usage-receipt-v1", statement) };
}

function fileReceipt(proven?: number, by = signer) {
  const tree = createMerkleTree();
  rows.forEach((row, index) => tree.add(Buffer.from(row), index === proven));
  const { size, root, proof } = tree.close();
  const statement: Statement = {
    object: "usage.export", columns, rows: size, first_request_id: ids[0]!, last_request_id: ids[4]!, root: root.toString("hex"), signed_at: signedAt,
  };
  const row = proof && { index: proof.index, record: rows[proof.index], hashes: proof.hashes.map((hash) => hash.toString("hex")) };
  return { ...statement, receipt: by.sign("epithre-export-receipt-v1", statement), ...(row ? { row } : {}) };
}

/** Eight at a time. */
async function verdicts(all: Given[]): Promise<Verdict[]> {
  const found: Verdict[] = [];
  for (let at = 0; at < all.length; at += 8) found.push(...(await Promise.all(all.slice(at, at + 8).map(verifyReceipt))));
  return found;
}

/** One bit of one character changed, so that the text is still JSON. */
function flippedCharacter(text: string, at: number): string {
  return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
}

/** The same document once for each of its members, with that one changed. */
function changedOnce(document: Record<string, unknown>): Record<string, unknown>[] {
  return Object.entries(document).flatMap(([name, value]) => changesOf(value).map((changed) => ({ ...document, [name]: changed })));
}

function changesOf(value: unknown): unknown[] {
  if (typeof value === "string") return [0, value.length - 1].map((at) => flippedCharacter(value, at));
  if (typeof value === "number") return [value + 1];
  if (Array.isArray(value)) return [value.slice(1), ...value.map((item, index) => value.with(index, changesOf(item)[0]))];
  return changedOnce(value as Record<string, unknown>);
}

describe("npm run verify-receipt", () => {
  test("finds a file, one row of it and one request valid, says what it found, and ends with 0", async () => {
    const [whole, inFile, oneRow, rowAlone, request] = await verdicts([
      { receipt: fileReceipt(), keys, csv },
      { receipt: fileReceipt(), keys, csv, row: ids[3]! },
      { receipt: fileReceipt(1), keys, csv: `${columns}\r\n${rows[1]}\r\n`, row: ids[1]!.toUpperCase() },
      { receipt: fileReceipt(4), keys },
      { receipt: usageReceipt(), keys, row: ids[2]! },
    ]);
    const signed = `signed at ${signedAt} with key ${signer.key.kid}`;
    const span = `rows, from ${ids[0]} to ${ids[4]}; ${signed}`;
    expect(whole).toEqual({ code: 0, output: `Valid: all 5 ${span}` });
    expect(inFile).toEqual({ code: 0, output: `Valid: request ${ids[3]} and all other of 5 ${span}` });
    expect(oneRow).toEqual({ code: 0, output: `Valid: one row of 5: ${rows[1]}; ${signed}` });
    expect(rowAlone).toEqual({ code: 0, output: `Valid: one row of 5: ${rows[4]}; ${signed}` });
    expect(request).toEqual({ code: 0, output: `Valid: request ${ids[2]} cost 5.000002 rupiah at price version 7; ${signed}` });
  });

  test("takes receipts of a retired key that is still published, and none of a key that is not", async () => {
    const old = { receipt: fileReceipt(undefined, retired), csv };
    const [before, after, stranger] = await verdicts([
      { ...old, keys },
      { ...old, keys: { keys: [signer.key] } },
      { receipt: usageReceipt(createReceiptSigner(createPrivateKey(makeReceiptKey()))), keys },
    ]);
    expect(before).toMatchObject({ code: 0, output: expect.stringContaining(retired.key.kid) });
    for (const refused of [after, stranger]) expect(refused).toEqual({ code: 1, output: "NOT valid: Cannot verify receipt: none of the keys has the id that it was signed with" });
  });

  test("refuses a receipt with any of its members changed", async () => {
    const given = [
      ...changedOnce(usageReceipt()).map((receipt) => ({ receipt, keys })),
      ...changedOnce(fileReceipt(2)).map((receipt) => ({ receipt, keys, csv, row: ids[2]! })),
      { receipt: { ...usageReceipt(), note: "paid" }, keys },
      { receipt: { ...fileReceipt(2), row: { ...fileReceipt(2).row, note: "paid" } }, keys },
    ];
    const found = await verdicts(given);
    expect(found.map(({ code, output }) => [code, output.slice(0, 9)])).toEqual(given.map(() => [1, "NOT valid"]));
    expect(found[2]!.output).toMatch(/what it shows is not what was signed: request_id$/);
  });

  test("refuses a file with a byte changed anywhere, a row less, more, twice or elsewhere, or another header", async () => {
    const receipt = fileReceipt();
    const joined = (records: string[]) => records.map((record) => `${record}\r\n`).join("");
    const cells = rows[2]!.split(",");
    const files = [
      ...cells.map((cell, at) => joined([columns, ...rows.with(2, cells.with(at, flippedCharacter(cell, cell.length - 1)).join(","))])),
      joined([columns, ...rows.slice(1)]),
      joined([columns, ...rows, rows[4]!]),
      joined([columns, rows[1]!, rows[0]!, ...rows.slice(2)]),
      joined([columns.replace("cost_rupiah,price_version", "price_version,cost_rupiah"), ...rows]),
      joined(rows),
      csv.slice(0, -3),
      "",
    ];
    const found = await verdicts(files.map((file) => ({ receipt, keys, csv: file })));
    expect(found.map(({ code, output }) => [code, output.slice(0, 9)])).toEqual(files.map(() => [1, "NOT valid"]));
    expect(found[5]!.output).toContain("it has 4 rows, 5 were signed");
  });

  test("takes a file whose line ends a transfer changed, and says of one that a spreadsheet saved again what happened", async () => {
    const [lf, cut, bom, numbers] = await verdicts([
      { receipt: fileReceipt(), keys, csv: csv.replaceAll("\r\n", "\n") },
      { receipt: fileReceipt(), keys, csv: csv.slice(0, -2) },
      { receipt: fileReceipt(), keys, csv: `\ufeff${csv}` },
      { receipt: fileReceipt(), keys, csv: csv.replace("5.000000", "5") },
    ]);
    expect([lf!.code, cut!.code]).toEqual([0, 0]);
    for (const { code, output } of [bom!, numbers!]) expect([code, output]).toEqual([1, expect.stringContaining("A spreadsheet that saves a file again")]);
  });

  test("refuses a row that is not the one asked for, or not in the file, and a file that the receipt is not about", async () => {
    const absent = uuidv7(0);
    const found = await verdicts([
      { receipt: fileReceipt(1), keys, row: ids[2]! },
      { receipt: usageReceipt(), keys, row: ids[1]! },
      { receipt: fileReceipt(), keys, csv, row: absent },
      { receipt: fileReceipt(1), keys, csv: `${columns}\r\n${rows[2]}\r\n`, row: ids[1]! },
      { receipt: fileReceipt(1), keys, csv: csv.replace("5.000001", "4.000001"), row: ids[1]! },
      { receipt: usageReceipt(), keys, csv },
      { receipt: fileReceipt(), keys },
      { receipt: fileReceipt(), keys, row: ids[1]! },
    ]);
    for (const { code, output } of found) expect([code, output]).toEqual([1, expect.stringContaining("NOT valid: ")]);
  });

  test("refuses a type that it does not know, and an object that is no receipt", async () => {
    const statement = { object: "usage.event" };
    const unknown = { ...statement, receipt: signer.sign("epithre-usage-receipt-v2" as "epithre-usage-receipt-v1", statement) };
    const found = await verdicts([{ receipt: unknown, keys }, { receipt: [], keys }, { receipt: { receipt: 1 }, keys }, { receipt: usageReceipt(), keys: [] }]);
    expect(found.map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    expect(found[0]!.output).toContain("its type is not known");
  });

  test("ends with 2 where there is nothing to look at, and says what to do", async () => {
    const folder = temporaryFolder();
    const file = (name: string, text: string) => (writeFileSync(join(folder, name), text), join(folder, name));
    const good = ["--receipt", file("receipt.json", JSON.stringify(fileReceipt())), "--keys", file("keys.json", JSON.stringify(keys))];
    const cases: [string[], string][] = [
      [[], "Usage: npm run verify-receipt"],
      [[...good, "--what"], "Usage: npm run verify-receipt"],
      [[...good, "more"], "Usage: npm run verify-receipt"],
      [[...good, "--csv", join(folder, "none.csv")], "there is no such file"],
      [[...good, "--csv", folder], "EISDIR"],
      [[...good, "--csv", file("endless.csv", "x".repeat(1_000_000))], "longer than 65536 bytes"],
      [[...good, "--keys", file("broken.json", "{")], "it is not JSON"],
    ];
    for (const [parameters, words] of cases) expect(await runVerify(parameters, [folder])).toEqual({ code: 2, output: expect.stringContaining(words) });
  });
});

describe("check()", () => {
  const bytesOf = (text: string) => [...Buffer.from(text).keys()];

  async function isValid(receiptText: string, keysText: string, file: Buffer): Promise<boolean> {
    const records = recordsOf((async function* () { yield file; })());
    try {
      await check({ receipt: JSON.parse(receiptText), keys: readKeySet(JSON.parse(keysText)), records });
      return true;
    } catch {
      return false;
    }
  }

  test("refuses a receipt, a key or a file with any one bit changed", async () => {
    const [receipt, keySet] = [JSON.stringify(fileReceipt(3)), JSON.stringify({ keys: [signer.key] })];
    const documents = { receipt, keySet, csv };
    const places = fc.constantFrom(...(["receipt", "keySet", "csv"] as const)).chain((name) =>
      fc.record({ name: fc.constant(name), at: fc.constantFrom(...bytesOf(documents[name])), bit: fc.nat(7) }),
    );
    expect(await isValid(receipt, keySet, Buffer.from(csv))).toBe(true);
    await fc.assert(
      fc.asyncProperty(places, async ({ name, at, bit }) => {
        const bytes = Buffer.from(documents[name]);
        bytes[at]! ^= 1 << bit;
        const changed = { ...documents, [name]: bytes.toString() };
        expect(await isValid(changed.receipt, changed.keySet, name === "csv" ? bytes : Buffer.from(csv))).toBe(false);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("npm run receipt-key", () => {
  test("makes a key that only its owner can read, prints its public key, and leaves one that is there", async () => {
    const file = join(temporaryFolder(), "receipt-key.pem");
    const run = async (...parameters: string[]) => {
      const { output, code } = launch([process.execPath, "infra/receipts/make-key.ts", ...parameters]);
      return { code: await code, output: output().trim() };
    };
    const first = await run(file);
    const pem = readFileSync(file, "utf8");
    expect(first).toEqual({ code: 0, output: JSON.stringify(publicKeyOf(pem)) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await run(file)).toEqual(first);
    expect(readFileSync(file, "utf8")).toBe(pem);

    writeFileSync(file, "something else");
    for (const parameters of [[file], [], [join(file, "below")], [file, file]]) {
      expect(await run(...parameters)).toEqual({ code: 1, output: expect.stringContaining("Cannot make a key: ") });
    }
    expect(existsSync(file) && readFileSync(file, "utf8")).toBe("something else");
  });
});
