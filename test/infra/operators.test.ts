import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch } from "../support/child-process.ts";
import { startAdmin } from "../support/operators.ts";

const script = join(fileURLToPath(new URL("../../", import.meta.url)), "infra/operators/main.ts");

let admin: Awaited<ReturnType<typeof startAdmin>>;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

async function run(...parameters: string[]) {
  const { output, code } = launch([process.execPath, script, ...parameters, "--database", admin.db.url]);
  return { code: await code, output: output().trim() };
}

const linkIn = (output: string) => /https?:\S+#invite=([\w-]{43})$/.exec(output)!;
const isOpen = async (word: string) => (await admin.post("/enrol/options", { invite: word })).status === 200;

describe("npm run operator", () => {
  test("prints a link for a new operator, and another when it got lost", async () => {
    const first = await run("invite", "budi", "--console", "https://ops.example.com/console/");
    expect(first.code).toBe(0);
    expect(linkIn(first.output)[0]).toMatch(/^https:\/\/ops\.example\.com\/console\/#invite=/);
    const second = await run("invite", "budi");
    expect([await isOpen(linkIn(first.output)[1]!), await isOpen(linkIn(second.output)[1]!)]).toEqual([false, true]);
    const operators = await admin.db.sql`select from operators where name = 'budi'`;
    expect(operators).toHaveLength(1);
  });

  test("recovers one who has a passkey, and invites them no second time", async () => {
    await run("invite", "citra");
    await admin.db.sql`
      insert into operator_credentials (id, operator_id, public_key, uses) select sha256('x'), id, sha256('y'), 0 from operators where name = 'citra'
    `;
    expect(await run("invite", "citra")).toEqual({ code: 1, output: "Cannot invite operator: citra has a passkey; `recover` replaces it" });
    const { code, output } = await run("recover", "citra");
    expect([code, await isOpen(linkIn(output)[1]!)]).toEqual([0, true]);
    const [invite] = await admin.db.sql`select replaces from operator_invites i join operators o on o.id = i.operator_id where o.name = 'citra'`;
    expect(invite!.replaces).toBe(true);
  });

  test("opens a session for a program, for as many days as it is told", async () => {
    const { code, output } = await run("session", "deploy", "--days", "3");
    expect([code, output]).toEqual([0, expect.stringMatching(/^[\w-]{43}$/)]);
    const [session] = await admin.db.sql<{ days: number }[]>`
      select round(extract(epoch from expires_at - now()) / 86400)::integer as days from operator_sessions s join operators o on o.id = s.operator_id where o.name = 'deploy'
    `;
    expect(session!.days).toBe(3);
  });

  test.each([
    [["recover", "nobody"], "Cannot recover operator: there is no nobody"],
    [["invite", "Budi Santoso"], "Cannot invite operator: a name is lower case letters, digits and . _ - (32 at most), a letter first"],
    [["invite"], "Cannot do that: give invite, recover or session and a name; npm run operator -- --help shows more"],
    [["remove", "budi"], "Cannot do that: give invite, recover or session and a name; npm run operator -- --help shows more"],
    [["session", "deploy", "--days", "91"], "Cannot open session: --days takes a number from 1 to 90"],
    [["invite", "budi", "--nothing"], "Cannot do that: give invite, recover or session and a name; npm run operator -- --help shows more"],
  ])("says what is wrong with %j", async (parameters, problem) => {
    expect(await run(...parameters)).toEqual({ code: 1, output: problem });
  });
});
