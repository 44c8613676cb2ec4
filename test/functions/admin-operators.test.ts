import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { invite as inviteAtMachine, openSession, withDatabase } from "#infra/operators/operators.ts";
import { createHandler } from "../../functions/admin/handler.ts";
import { type Authenticator, type Ceremony, createAuthenticator } from "../support/authenticator.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { adminSettings, openTestSession } from "../support/operators.ts";

let db: TestDatabase;
let pool: DatabasePool;
let handler: (request: Request) => Promise<Response>;

beforeAll(async () => {
  db = await createTestDatabase();
  pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  handler = createHandler({ database: pool, ...adminSettings });
});
afterAll(async () => {
  await pool.close();
  await db.close();
});

async function post(path: string, body: object, token?: string) {
  const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await handler(new Request(`http://admin${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
  return { status: response.status, body: (await response.json()) as any };
}

const newName = () => `o${randomUUID().slice(0, 8)}`;
const wordOf = (link: string) => link.split("#invite=")[1]!;

/** An operator with a passkey, invited at the machine. */
async function newOperator(name = newName(), given: Partial<Ceremony> = {}) {
  const passkey = createAuthenticator();
  const word = await withDatabase(db.url, (sql) => inviteAtMachine(sql, name, false));
  expect(await enrol(passkey, word, given)).toEqual({ status: 200, body: {} });
  return { name, passkey, word };
}

async function enrol(passkey: Authenticator, invite: string, given: Partial<Ceremony> = {}) {
  const { status, body } = await post("/enrol/options", { invite });
  if (status !== 200) return { status, body };
  return post("/enrol", { invite, response: passkey.create({ challenge: body.options.challenge, ...given }) });
}

async function signIn(passkey: Authenticator, given: Partial<Ceremony> = {}) {
  const { body } = await post("/sign-in/options", {});
  return post("/sign-in", { response: passkey.get({ challenge: body.options.challenge, ...given }) });
}

const idOf = async (name: string) => (await db.sql<{ id: string }[]>`select id from operators where name = ${name}`)[0]!.id;
const expectSignedOut = async (token: string) => expect((await post("/operators", {}, token)).status).toBe(401);
/** The audit rows about an operator: who did what. */
const auditOf = async (operatorId: string) =>
  (await db.sql<{ actor: string; action: string; operatorId: string | null }[]>`
    select actor, action, operator_id as "operatorId" from audit_log where object_id = ${operatorId} order by id
  `).map(({ actor, action, operatorId: by }) => `${actor} ${by === operatorId ? "itself" : by === null ? "-" : "another"} ${action}`);

describe("an operator", () => {
  test("is invited at the machine, enrols a passkey and signs in with it; the log says so (keep.audit)", async () => {
    const { name, passkey } = await newOperator();
    const { status, body } = await signIn(passkey);
    expect(status).toBe(200);
    const { body: list } = await post("/operators", {}, body.token);
    expect(list.operators.find(({ id }: { id: string }) => id === list.you)).toMatchObject({ name, passkeys: 1, sessions: 1, disabledAt: null });
    expect(await auditOf(list.you)).toEqual([
      "system - operator_created", "system - operator_invited", "operator itself operator_enrolled", "operator itself operator_signed_in",
    ]);
  });

  test("is named by each row of what they do (keep.audit)", async () => {
    const { name, passkey } = await newOperator();
    const { body } = await signIn(passkey);
    const { body: account } = await post("/accounts", { email: `${randomUUID()}@example.com` }, body.token);
    const [row] = await db.sql`
      select l.actor, l.operator_id from audit_log l join accounts a on a.audit_alias = l.subject_alias where a.id = ${account.accountId}
    `;
    expect(row).toEqual({ actor: "operator", operator_id: await idOf(name) });
  });

  test("holds words of which the database has digests only", async () => {
    const { passkey } = await newOperator();
    const { body } = await signIn(passkey);
    const { body: made } = await post("/passkeys/add", {}, body.token);
    for (const word of [body.token, wordOf(made.link)]) {
      const bytes = Buffer.from(word, "base64url").toString("hex");
      for (const table of ["operator_sessions", "operator_invites", "operator_challenges"]) {
        const rows = await db.sql<{ text: string }[]>`select t::text as text from ${db.sql(table)} as t`;
        expect(rows.map(({ text }) => text).join()).not.toMatch(new RegExp(`${word}|${bytes}`));
      }
    }
  });

  test("adds a second passkey beside the first; a second operator replaces all of one who lost theirs", async () => {
    const one = await newOperator();
    const other = await newOperator();
    const { body: session } = await signIn(one.passkey);
    const second = createAuthenticator();
    const { body: added } = await post("/passkeys/add", {}, session.token);
    expect((await enrol(second, wordOf(added.link))).status).toBe(200);
    expect([(await signIn(one.passkey)).status, (await signIn(second)).status]).toEqual([200, 200]);

    const { body: helper } = await signIn(other.passkey);
    const { body: recovery } = await post("/operators/recover", { operatorId: await idOf(one.name) }, helper.token);
    expect((await signIn(one.passkey)).status).toBe(200);
    const third = createAuthenticator();
    expect((await enrol(third, wordOf(recovery.link))).status).toBe(200);
    expect([(await signIn(one.passkey)).status, (await signIn(second)).status, (await signIn(third)).status]).toEqual([401, 401, 200]);
    await expectSignedOut(session.token);
    expect(await auditOf(await idOf(one.name))).toContain("operator another operator_invited");
  });

  test("is disabled by another, at once and for good, but never the last one", async () => {
    const one = await newOperator();
    const other = await newOperator();
    const [{ body: ofOne }, { body: ofOther }] = [await signIn(one.passkey), await signIn(other.passkey)];
    expect((await post("/operators/disable", { operatorId: await idOf(one.name) }, ofOther.token)).status).toBe(200);
    await expectSignedOut(ofOne.token);
    expect((await signIn(one.passkey)).status).toBe(401);
    expect((await post("/operators/recover", { operatorId: await idOf(one.name) }, ofOther.token)).status).toBe(404);
    await expect(withDatabase(db.url, (sql) => inviteAtMachine(sql, one.name, true))).rejects.toThrow("is disabled");
    for (const { id, passkeys } of (await post("/operators", {}, ofOther.token)).body.operators) {
      if (passkeys > 0 && id !== (await idOf(other.name))) await post("/operators/disable", { operatorId: id }, ofOther.token);
    }
    expect(await post("/operators/disable", { operatorId: await idOf(other.name) }, ofOther.token)).toMatchObject({
      status: 409, body: { error: { message: "Cannot disable operator: nobody would be left who can sign in" } },
    });
    expect((await signIn(other.passkey)).status).toBe(200);
  });
});

describe("a session of an operator", () => {
  test("ends after 12 hours", async () => {
    const { passkey } = await newOperator();
    const { body } = await signIn(passkey);
    const [row] = await db.sql<{ hours: number }[]>`
      select round(extract(epoch from max(expires_at) - now()) / 3600)::integer as hours from operator_sessions
      where operator_id = (select id from operators order by created_at desc limit 1)
    `;
    expect([row!.hours, body.hours]).toEqual([12, 12]);
    await db.sql`update operator_sessions set expires_at = now() - interval '1 millisecond' where expires_at < now() + interval '13 hours'`;
    await expectSignedOut(body.token);
  });

  test("ends when its operator signs out, one or everywhere", async () => {
    const { passkey } = await newOperator();
    const tokens = [];
    for (let session = 0; session < 3; session += 1) tokens.push((await signIn(passkey)).body.token);
    await post("/sign-out", {}, tokens[0]);
    await expectSignedOut(tokens[0]);
    expect((await post("/operators", {}, tokens[1])).status).toBe(200);
    await post("/sign-out", { everywhere: true }, tokens[1]);
    for (const token of tokens) await expectSignedOut(token);
  });

  test("of a program is opened at the machine, for one that has no passkey", async () => {
    const token = await openTestSession(db, "program");
    expect((await post("/operators", {}, token)).body.you).toBe(await idOf("program"));
    const { name } = await newOperator();
    await expect(withDatabase(db.url, (sql) => openSession(sql, name, 1))).rejects.toThrow("has a passkey");
    await expect(pool.run((sql) => openSession(sql, "another", 1))).rejects.toMatchObject({ code: "42501" });
  });
});

describe("signing in", () => {
  const refusals: [string, (passkey: Authenticator) => Promise<{ status: number }>][] = [
    ["from another origin", (passkey) => signIn(passkey, { origin: "http://localhost:8081" })],
    ["from a page of another domain", (passkey) => signIn(passkey, { rpId: "example.com" })],
    ["without knowing the person", (passkey) => signIn(passkey, { verified: false })],
    ["with a copy that has fallen behind", (passkey) => signIn(passkey, { uses: 1 })],
    ["with a challenge of one's own", (passkey) => signIn(passkey, { challenge: Buffer.alloc(32, 7).toString("base64url") })],
    ["with the passkey of somebody else", () => signIn(createAuthenticator())],
    ["to a challenge that was for enrolling", async (passkey) => {
      const word = await withDatabase(db.url, (sql) => inviteAtMachine(sql, newName(), false));
      const { body } = await post("/enrol/options", { invite: word });
      return signIn(passkey, { challenge: body.options.challenge });
    }],
    ["to a challenge that has expired", async (passkey) => {
      const { body } = await post("/sign-in/options", {});
      await db.sql`update operator_challenges set expires_at = now() - interval '1 millisecond'`;
      return post("/sign-in", { response: passkey.get({ challenge: body.options.challenge }) });
    }],
    ["with another one's answer to one's own challenge, altered", async (passkey) => {
      const { body } = await post("/sign-in/options", {});
      const response = passkey.get({ challenge: body.options.challenge }) as { response: { signature: string } };
      response.response.signature = (createAuthenticator().get({ challenge: body.options.challenge }) as typeof response).response.signature;
      return post("/sign-in", { response });
    }],
  ];
  test.each(refusals)("is refused %s", async (_, attempt) => {
    const { passkey } = await newOperator();
    expect((await signIn(passkey)).status).toBe(200);
    expect(await attempt(passkey)).toMatchObject({ status: 401, body: { error: { message: expect.stringContaining("Cannot sign in") } } });
    expect((await signIn(passkey)).status).toBe(200);
  });

  test("takes an answer once, also when it comes twice at a time", async () => {
    // A passkey that does not count its uses, as those that a keychain copies: only the challenge tells.
    const { passkey } = await newOperator(newName(), { uses: 0 });
    const { body } = await post("/sign-in/options", {});
    const answer = { response: passkey.get({ challenge: body.options.challenge, uses: 0 }) };
    const both = await Promise.all([post("/sign-in", answer), post("/sign-in", answer)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401]);
    expect((await post("/sign-in", answer)).status).toBe(401);
  });

  test("keeps no more challenges than a thousand", async () => {
    await db.sql`
      insert into operator_challenges select sha256(n::text::bytea), now() + interval '1 minute' from generate_series(1, 1000) as n
    `;
    expect((await post("/sign-in/options", {})).status).toBe(429);
    await db.sql`update operator_challenges set expires_at = now() - interval '1 second'`;
    expect((await post("/sign-in/options", {})).status).toBe(200);
    expect(await db.sql`select from operator_challenges`).toHaveLength(1);
  });
});

describe("enrolling", () => {
  const machineInvite = () => withDatabase(db.url, (sql) => inviteAtMachine(sql, newName(), false));

  test("takes an invite once, within its day", async () => {
    const { word } = await newOperator();
    expect((await enrol(createAuthenticator(), word)).status).toBe(401);
    const late = await machineInvite();
    await db.sql`update operator_invites set expires_at = now() - interval '1 millisecond'`;
    expect((await enrol(createAuthenticator(), late)).status).toBe(401);
    const twice = await machineInvite();
    const both = await Promise.all([enrol(createAuthenticator(), twice), enrol(createAuthenticator(), twice)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401]);
  });

  test("takes no answer that was made for another invite, origin or domain, and none without the person", async () => {
    const [one, other] = [await machineInvite(), await machineInvite()];
    const { body } = await post("/enrol/options", { invite: one });
    const response = createAuthenticator().create({ challenge: body.options.challenge });
    expect((await post("/enrol", { invite: other, response })).status).toBe(401);
    for (const given of [{ origin: "https://localhost:8080" }, { rpId: "example.com" }, { verified: false }]) {
      expect((await enrol(createAuthenticator(), other, given)).status).toBe(401);
    }
    expect((await post("/enrol", { invite: one, response })).status).toBe(200);
    expect((await post("/enrol", { invite: one, response })).status).toBe(401);
  });

  test("a newer invite takes the place of an older one", async () => {
    const name = newName();
    const [older, newer] = [await withDatabase(db.url, (sql) => inviteAtMachine(sql, name, false)), await withDatabase(db.url, (sql) => inviteAtMachine(sql, name, false))];
    expect([(await enrol(createAuthenticator(), older)).status, (await enrol(createAuthenticator(), newer)).status]).toEqual([401, 200]);
  });
});
