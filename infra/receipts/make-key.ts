/** `npm run receipt-key -- FILE`: makes a new private key in FILE, unless one is there, and prints its public key as a JWK. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import type { ReceiptKey } from "#shared/receipts.ts";
import { makeReceiptKey, publicKeyOf } from "./key.ts";

const [file, more] = process.argv.slice(2);

try {
  if (file === undefined || more !== undefined) throw new Error("Cannot make a key: give one file, as in `npm run receipt-key -- receipt-key.pem`");
  console.log(JSON.stringify(publicKeyIn(file)));
} catch (thrown) {
  console.error((thrown as Error).message);
  process.exitCode = 1;
}

function publicKeyIn(path: string): ReceiptKey {
  try {
    // A key that is there stays: receipts that it signed may be out already.
    if (!existsSync(path)) writeFileSync(path, makeReceiptKey(), { mode: 0o600, flag: "wx" });
    return publicKeyOf(readFileSync(path, "utf8"));
  } catch {
    throw new Error(`Cannot make a key: ${path} cannot be written, or holds something else; give another file`);
  }
}
