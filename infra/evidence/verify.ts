/**
 * Verifies the evidence that the policy page shows, offline, with nothing but this repository and Node:
 *
 *     npm run verify-evidence -- --evidence evidence.json --keys keys.json
 *
 * Ends with 0 when it is what was signed, also where it says that a promise is red; with 1 when it is not, or is too old;
 * with 2 when it could not be looked at.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { readKeySet } from "#infra/receipts/check.ts";
import { jsonIn, unreadable, verifying } from "#infra/receipts/command.ts";
import { checkEvidence } from "./check.ts";

const usage = `Usage: npm run verify-evidence -- --evidence FILE --keys FILE [--at TIME]

  --evidence  the answer of /policy/evidence.json, as it came
  --keys      the answer of /.well-known/epithre-evidence-keys.json, from where you trust it
  --at        when it was asked for, such as 2026-05-11T08:00:00Z; else now`;

process.exitCode = await verifying(async () => {
  const { evidence, keys, atMs } = options();
  return checkEvidence(textIn(evidence), readKeySet(jsonIn(keys)), atMs);
});

function options(): { evidence: string; keys: string; atMs: number } {
  const text = { type: "string" } as const;
  try {
    const { evidence, keys, at } = parseArgs({ options: { evidence: text, keys: text, at: text } }).values;
    const atMs = at === undefined ? Date.now() : Date.parse(at);
    if (evidence !== undefined && keys !== undefined && !Number.isNaN(atMs)) return { evidence, keys, atMs };
  } catch {
    // An option that there is not.
  }
  throw new Error(usage);
}

function textIn(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    throw unreadable(path, thrown, "it is no text");
  }
}
