import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createReceiptSigner, type ReceiptKey } from "#shared/receipts.ts";
import { checkEvidence } from "#infra/evidence/check.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { createPrivateKey } from "node:crypto";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createPolicy, evidenceSigner } from "../support/policy.ts";
import { createRandom } from "../support/random.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { runOffline } from "../support/verify-receipt.ts";

const stranger = createReceiptSigner(createPrivateKey(makeReceiptKey()));

let db: TestDatabase;
let text: string;
let keys: { keys: ReceiptKey[] };

beforeAll(async () => {
  db = await createTestDatabase();
  const policy = createPolicy(db);
  text = await (await policy.get("/policy/evidence.json")).text();
  keys = (await (await policy.get("/.well-known/epithre-evidence-keys.json")).json()) as typeof keys;
  await policy.close();
});
afterAll(() => db.close());

function verify(evidence: string, more: string[] = []) {
  const folder = temporaryFolder();
  const files = { evidence: join(folder, "evidence.json"), keys: join(folder, "keys.json") };
  writeFileSync(files.evidence, evidence);
  writeFileSync(files.keys, JSON.stringify(keys));
  return runOffline("infra/evidence/verify.ts", ["--evidence", files.evidence, "--keys", files.keys, ...more], [folder]);
}

const signed = (statement: object, type = "epithre-evidence-v1" as Parameters<typeof evidenceSigner.sign>[0], by = evidenceSigner) =>
  JSON.stringify({ ...statement, signature: by.sign(type, statement) });

describe("npm run verify-evidence", () => {
  test("verifies what the policy function signed, offline, and names what is red (keep.*)", async () => {
    const { code, output } = await verify(text);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^Valid: of 28 promises of version 1\.0 these are red: keep\.\* \(unproven\), .*; signed at \S+ with key \S{43}$/) });
  });

  test("refuses it with any byte changed, and with one more or less", () => {
    const random = createRandom(6);
    const nowMs = Date.now();
    expect(checkEvidence(text, keys.keys, nowMs)).toContain("signed at");
    for (let tries = 0; tries < 2_000; tries += 1) {
      const at = Math.floor(random() * text.length);
      const other = String.fromCharCode(32 + Math.floor(random() * 95));
      for (const changed of [text.slice(0, at) + other + text.slice(at + 1), text.slice(0, at) + other + text.slice(at), text.slice(0, at) + text.slice(at + 1)]) {
        if (changed !== text) expect(() => checkEvidence(changed, keys.keys, nowMs)).toThrow(/^Cannot /);
      }
    }
  });

  test.each([
    ["of another signer", () => signed(JSON.parse(text) as object, undefined, stranger), "none of the keys"],
    ["that is a receipt of something else", () => signed({ judged_at: new Date().toISOString() }, "epithre-audit-head-v1"), "about something else"],
    ["without a signature", () => "{}", "it is not JSON with a member `signature`"],
    ["written anew", () => JSON.stringify(JSON.parse(text), null, 1), "what it shows is not what was signed"],
  ])("refuses evidence %s", async (_, make, problem) => {
    const { code, output } = await verify(make());
    expect({ code, output }).toEqual({ code: 1, output: expect.stringMatching(/^NOT valid: /) });
    expect(output).toContain(problem);
  });

  test("takes evidence for two hours, and later for the time that it is of", async () => {
    const atMs = Date.parse((JSON.parse(text) as { judged_at: string }).judged_at);
    const later = (ms: number) => ["--at", new Date(atMs + ms).toISOString()];
    expect((await verify(text, later(2 * 3_600_000))).code).toBe(0);
    const old = await verify(text, later(2 * 3_600_000 + 1_000));
    expect({ code: old.code, output: old.output }).toEqual({ code: 1, output: expect.stringContaining("more than 2 hours ago") });
  });

  test("ends with 2 when it cannot look", async () => {
    expect(await runOffline("infra/evidence/verify.ts", [], [])).toEqual({ code: 2, output: expect.stringContaining("Usage: npm run verify-evidence") });
    expect((await verify(text, ["--at", "yesterday"])).code).toBe(2);
  });
});
