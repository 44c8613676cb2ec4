/**
 * Verifies a receipt of usage offline, with nothing but this repository and Node:
 *
 *     npm run verify-receipt -- --csv usage.csv --receipt receipt.json --keys keys.json [--row REQUEST_ID]
 *
 * Ends with 0 when everything is valid, with 1 when something is not, with 2 when it could not be looked at.
 */
import { createReadStream } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { check, readKeySet } from "./check.ts";
import { jsonIn, unreadable, verifying } from "./command.ts";
import { recordsOf } from "./csv-file.ts";

const usage = `Usage: npm run verify-receipt -- --receipt FILE --keys FILE [--csv FILE] [--row REQUEST_ID]

  --receipt  the answer of /v1/usage.csv.receipt or /v1/usage/{request_id}
  --keys     the answer of /.well-known/epithre-receipt-keys.json, from where you trust it
  --csv      the file of /v1/usage.csv as it was downloaded
  --row      the request that matters; with a receipt that was asked for with \`row\`, only its row of the file is needed`;

process.exitCode = await verifying(async () => {
  const { receipt, keys, csv, row } = options();
  const records = csv === undefined ? undefined : recordsIn(csv);
  return check({ receipt: jsonIn(receipt), keys: readKeySet(jsonIn(keys)), records, row: row?.toLowerCase() });
});

function options(): { receipt: string; keys: string; csv?: string | undefined; row?: string | undefined } {
  const text = { type: "string" } as const;
  try {
    const { receipt, keys, csv, row } = parseArgs({ options: { receipt: text, keys: text, csv: text, row: text } }).values;
    if (receipt !== undefined && keys !== undefined) return { receipt, keys, csv, row };
  } catch {
    // An option that there is not.
  }
  throw new Error(usage);
}

async function* recordsIn(path: string): AsyncGenerator<Buffer> {
  try {
    yield* recordsOf(createReadStream(path));
  } catch (thrown) {
    throw unreadable(path, thrown, (thrown as Error).message);
  }
}
