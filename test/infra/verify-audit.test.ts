import { createPrivateKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type AuditRow, endOfDay, firstHead, nextHead } from "#shared/audit-chain.ts";
import { createReceiptSigner, type ReceiptType, type Statement } from "#shared/receipts.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { runOffline } from "../support/verify-receipt.ts";

const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
const row = (id: number): AuditRow => ({
  id: String(id), at: `2026-05-11T00:00:0${id}.000001Z`, actor: "system", action: "key_created", operatorId: null,
  objectId: null, reason: null, subjectCommitment: null, subjectAlias: null, subjectSalt: null,
});
const rows = [row(1), row(2)];
const head = rows.reduce(nextHead, firstHead);
const statement = { day: "2026-05-11", rows: 2, previous: firstHead, head, sealed_until: endOfDay("2026-05-11") };

function log(given: Statement = statement, type: ReceiptType = "epithre-audit-head-v1", shown: object[] = rows): string {
  return [{ statement: signer.sign(type, given) }, ...shown.map((one) => ({ row: one }))].map((line) => `${JSON.stringify(line)}\n`).join("");
}

function verify(text: string, keys: unknown = signer.key) {
  const folder = temporaryFolder();
  const files = { log: join(folder, "audit.ndjson"), keys: join(folder, "keys.json") };
  writeFileSync(files.log, text);
  writeFileSync(files.keys, JSON.stringify(keys));
  return runOffline("infra/audit/verify.ts", ["--log", files.log, "--keys", files.keys], [folder]);
}

describe("npm run verify-audit", () => {
  test.each([["a key", signer.key], ["a set of keys", { keys: [signer.key] }]])("says what it verified with %s (keep.audit)", async (_, keys) => {
    expect(await verify(log(), keys)).toEqual({ code: 0, output: "Valid: 1 days with 2 rows, from 2026-05-11, sealed until 2026-05-12T00:00:00.000000Z" });
  });

  test.each([
    ["is empty", "", "it is empty"],
    ["has no statement", log().split("\n").slice(1).join("\n"), "it must begin with the statement of a day"],
    ["is cut in a line", log().slice(0, -5), "a line of it is not JSON"],
    ["has other lines", `${log()}{"note": 1}\n`, "neither the statement of a day nor a row"],
    ["has rows with more in them", log(statement, "epithre-audit-head-v1", [{ ...row(1), note: "x" }]), "neither the statement of a day nor a row"],
    ["has a row twice", log(statement, "epithre-audit-head-v1", [row(1), row(1), row(2)]), "row 1 of 2026-05-11T00:00:01.000001Z is out of order"],
    ["has a row of another day", log({ ...statement, day: "2026-05-12" }), "stands in day 2026-05-12"],
    ["holds a receipt of something else", log(statement, "epithre-export-receipt-v1"), "a statement in it is about something else"],
    ["was sealed otherwise", log({ ...statement, head: nextHead(head, row(3)) }), "a row of day 2026-05-11 is not what was sealed"],
  ])("refuses a log that %s", async (_, text, problem) => {
    const { code, output } = await verify(text);
    expect({ code, output }).toEqual({ code: 1, output: expect.stringMatching(/^NOT valid: Cannot verify log: /) });
    expect(output).toContain(problem);
  });

  test("ends with 2 when it cannot look", async () => {
    expect(await runOffline("infra/audit/verify.ts", [], [])).toEqual({ code: 2, output: expect.stringContaining("Usage: npm run verify-audit") });
    const folder = temporaryFolder();
    const parameters = ["--log", join(folder, "none"), "--keys", join(folder, "none")];
    expect(await runOffline("infra/audit/verify.ts", parameters, [folder])).toEqual({ code: 2, output: `Cannot read ${join(folder, "none")}: there is no such file` });
  });
});
