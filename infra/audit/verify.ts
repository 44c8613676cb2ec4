/**
 * Verifies an exported audit log offline, with nothing but this repository and Node:
 *
 *     npm run verify-audit -- --log audit.ndjson --keys audit-public-keys.json
 *
 * Ends with 0 when everything is as it was sealed, with 1 when something is not, with 2 when it could not be looked at.
 */
import { createReadStream } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { ReceiptKey } from "#shared/receipts.ts";
import { readKeySet } from "#infra/receipts/check.ts";
import { jsonIn, unreadable, verifying } from "#infra/receipts/command.ts";
import { type Checked, checkLog } from "./check.ts";

const usage = `Usage: npm run verify-audit -- --log FILE --keys FILE

  --log   the answer of /audit/export of admin (Audit, Download in the operators' console)
  --keys  the public key as \`npm run receipt-key -- audit-key.pem\` prints it, or a JWK Set of such keys`;

process.exitCode = await verifying(async () => {
  const { log, keys } = options();
  return words(await checkLog(linesOf(log), keysIn(keys)));
});

function words({ from, until, days, rows, unsealed, leftOut }: Checked): string {
  const what = from === undefined ? "no whole day" : `${days} days with ${rows} rows, from ${from}`;
  const skipped = leftOut === undefined ? "" : `; ${leftOut} is left out: purge is taking its rows`;
  const later = unsealed === 0 ? "" : `; ${unsealed} newer rows are not sealed yet`;
  return `${what}, sealed until ${until}${skipped}${later}`;
}

function options(): { log: string; keys: string } {
  const text = { type: "string" } as const;
  try {
    const { log, keys } = parseArgs({ options: { log: text, keys: text } }).values;
    if (log !== undefined && keys !== undefined) return { log, keys };
  } catch {
    // An option that there is not.
  }
  throw new Error(usage);
}

function keysIn(path: string): ReceiptKey[] {
  const value = jsonIn(path);
  return readKeySet(typeof value === "object" && value !== null && "kty" in value ? { keys: [value] } : value);
}

async function* linesOf(path: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: createReadStream(path, "utf8") });
  } catch (thrown) {
    throw unreadable(path, thrown, "it is not JSON");
  }
}
