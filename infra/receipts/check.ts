/** Whether a receipt is what one of the keys signed, and whether a CSV file, or one row of it, is what it is about. */
import { isDeepStrictEqual } from "node:util";
import { createMerkleTree, provenRoot } from "#shared/merkle.ts";
import { openReceipt, type ReceiptKey, receiptKey, ReceiptRefused, type ReceiptType, type Statement } from "#shared/receipts.ts";
import { requestIdOf } from "./csv-file.ts";

export interface Evidence {
  /** The answer of `/v1/usage/{request_id}` or `/v1/usage.csv.receipt`, parsed. */
  receipt: unknown;
  keys: readonly ReceiptKey[];
  /** Of the file: its header, then its rows. */
  records?: AsyncIterable<Buffer> | undefined;
  /** The request_id of the row that matters. */
  row?: string | undefined;
}

/** Answers what was found valid, in words. Throws ReceiptRefused, in words too, when anything of it is not. */
export async function check({ receipt, keys, records, row }: Evidence): Promise<string> {
  const { receipt: text, row: proof, ...shown } = membersOf(receipt);
  if (typeof text !== "string") throw new ReceiptRefused("Cannot verify receipt: it has no member `receipt`");
  const { type, keyId, statement } = openReceipt(text, keys);
  if (!isDeepStrictEqual(shown, statement)) throw new ReceiptRefused(`Cannot verify receipt: what it shows is not what was signed${difference(shown, statement)}`);
  const signed = `signed at ${statement.signed_at} with key ${keyId}`;

  const about = type as ReceiptType;
  if (about === "epithre-usage-receipt-v1") {
    if (proof !== undefined || records) throw new ReceiptRefused("Cannot verify file: this receipt is about one request; ask for that of the file at /v1/usage.csv.receipt");
    if (row !== undefined && row !== statement.request_id) throw otherRow();
    return `request ${statement.request_id} cost ${statement.cost_rupiah} rupiah at price version ${statement.price_version}; ${signed}`;
  }
  if (about !== "epithre-export-receipt-v1") throw new ReceiptRefused("Cannot verify receipt: its type is not known to this version of the script");

  const proven = proof === undefined ? undefined : checkProof(membersOf(proof), statement);
  if (proven !== undefined && (row !== undefined || !records)) {
    const id = requestIdOf(proven)!;
    if (row !== undefined && row !== id) throw otherRow();
    if (records) await expectRecord(records, id, proven);
    return `one row of ${statement.rows}: ${proven}; ${signed}`;
  }
  if (!records) throw new ReceiptRefused("Cannot verify file: none was given; give --csv, or --row with a receipt that has the proof of that row");
  await checkFile(records, statement, row);
  const which = row === undefined ? "all" : `request ${row} and all other of`;
  return `${which} ${statement.rows} rows, from ${statement.first_request_id} to ${statement.last_request_id}; ${signed}`;
}

/** The keys of a JWK Set, each with the id that is computed here. Keys of other kinds do not matter. Throws ReceiptRefused. */
export function readKeySet(set: unknown): ReceiptKey[] {
  const { keys } = membersOf(set);
  if (!Array.isArray(keys)) throw new ReceiptRefused("Cannot read keys: this is no JWK Set");
  return keys.map(membersOf).filter(({ kty, crv }) => kty === "OKP" && crv === "Ed25519").map((given) => {
    const key = receiptKey(String(given.x));
    if (!isDeepStrictEqual(given, key)) throw new ReceiptRefused("Cannot use keys: the id of one is not its thumbprint, or it has another form");
    return key;
  });
}

function membersOf(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ReceiptRefused("Cannot verify: a part that must be an object is none");
}

/** By the names that were signed, which are ours. */
function difference(shown: Record<string, unknown>, statement: Statement): string {
  const names = Object.keys(statement).filter((name) => !Object.hasOwn(shown, name) || shown[name] !== statement[name]);
  return names.length === 0 ? ": it has more members" : `: ${names.join(", ")}`;
}

/** The record that the proof leads from to the signed root. */
function checkProof({ index, record, hashes, ...more }: Record<string, unknown>, { rows, root }: Statement): string {
  const isHash = (text: unknown): text is string => typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
  const hasForm = Number.isSafeInteger(index) && Number(index) >= 0 && typeof record === "string" && Array.isArray(hashes) && hashes.every(isHash);
  if (!hasForm || Object.keys(more).length > 0) throw new ReceiptRefused("Cannot verify row: its proof has another form");
  const path = { index: Number(index), hashes: hashes.map((text) => Buffer.from(text, "hex")) };
  const proven = provenRoot(Buffer.from(record), Number(rows), path)?.toString("hex");
  if (proven !== root) throw new ReceiptRefused("Cannot verify row: its proof does not lead to the signed root");
  return record;
}

async function expectRecord(records: AsyncIterable<Buffer>, row: string, proven: string): Promise<void> {
  for await (const record of records) {
    if (requestIdOf(record) !== row) continue;
    if (record.equals(Buffer.from(proven))) return;
    throw new ReceiptRefused(`Cannot verify row: it is not what was signed. ${savedAgain}`);
  }
  throw new ReceiptRefused("Cannot verify row: the file has none of this request");
}

async function checkFile(records: AsyncIterable<Buffer>, { columns, rows, root }: Statement, row: string | undefined): Promise<void> {
  const tree = createMerkleTree();
  let isHeader = true;
  let hasRow = false;
  for await (const record of records) {
    if (isHeader && record.toString() !== columns) throw new ReceiptRefused(`Cannot verify file: its header is not what was signed. ${savedAgain}`);
    if (!isHeader) tree.add(record);
    isHeader = false;
    hasRow ||= row !== undefined && requestIdOf(record) === row;
  }
  const found = tree.close();
  if (isHeader) throw new ReceiptRefused("Cannot verify file: it is empty");
  if (found.size !== rows) {
    throw new ReceiptRefused(
      `Cannot verify file: it has ${found.size} rows, ${rows} were signed. It is cut or changed, or calls ended or rows passed 90 days between the two: download both again`,
    );
  }
  if (found.root.toString("hex") !== root) throw new ReceiptRefused(`Cannot verify file: a row of it is not what was signed. ${savedAgain}`);
  if (row !== undefined && !hasRow) throw new ReceiptRefused("Cannot verify row: the file has none of this request");
}

const savedAgain = "A spreadsheet that saves a file again rewrites it: take the file as it was downloaded";

const otherRow = () => new ReceiptRefused("Cannot verify row: the receipt is about another request");
