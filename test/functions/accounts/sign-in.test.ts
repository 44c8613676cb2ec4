import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Sql } from "#shared/db.ts";
import { createHandler } from "../../../functions/accounts/handler.ts";
import { tokenHash } from "../../../functions/accounts/parts.ts";
import { behindLock } from "../../support/behind-lock.ts";
import { type AccountsService, type Answer, dashboardUrl, startAccounts, tokenIn } from "../../support/accounts-service.ts";

let service: AccountsService;
beforeAll(async () => {
  service = await startAccounts();
});
afterAll(() => service.close());
beforeEach(() => service.nextHour());

const newEmail = () => `${randomUUID()}@example.com`;
const password = "correct horse battery";
const signUp = (email: string, more = {}) => service.post("/v1/account/signup", { email, password, ...more });
const logIn = (email: string, given = password) => service.post("/v1/account/login", { email, password: given });
/** An answer, and what was done for it. */
async function worked(ask: () => Promise<Answer>) {
  const before = service.work();
  const answer = await ask();
  const { hashes, looks } = service.work();
  return { answer, hashes: hashes - before.hashes, looks: looks - before.looks };
}

const codeOf = ({ status, body }: { status: number; body: any }) => [status, body.error?.code];

describe("signup", () => {
  test("opens an account once its address is verified with the password, and logs in (use.account, sec.password)", async () => {
    const email = newEmail();
    expect((await signUp(email, { name: " Ada " })).status).toBe(202);
    expect(codeOf(await logIn(email))).toEqual([403, "email_not_verified"]);
    const [mail] = await service.mail();
    expect(mail).toMatchObject({ to: email });
    expect(mail!.text).toContain(`${dashboardUrl}#verify_email=`);
    const token = tokenIn(mail, "verify_email")!;
    expect(codeOf(await service.post("/v1/account/verify", { token, password: "another password" }))).toEqual([401, "invalid_credentials"]);
    const verified = await service.post("/v1/account/verify", { token, password });
    expect(verified.body).toMatchObject({ object: "session", token: expect.stringMatching(/^eyJ/) });
    expect(codeOf(await service.post("/v1/account/verify", { token, password }))).toEqual([400, "invalid_token"]);
    const account = await service.ask("/v1/account", { session: verified.body.token });
    expect(account.body).toMatchObject({ email, name: "Ada", email_verified: true, status: "active", new_email: null });
    expect((await logIn(email.toUpperCase())).status).toBe(200);
    const [row] = await service.db.sql`select password_hash from persons where email = ${email}`;
    expect(row!.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  test("answers for an address that has an account as for a new one, with as many hashes, and tells its owner by mail (use.account)", async () => {
    const { email, session } = await service.newPerson();
    const outcomes = [];
    for (const address of [email, email.toUpperCase(), newEmail()]) {
      const { answer, ...work } = await worked(() => signUp(address, { name: "Mallory" }));
      outcomes.push({ status: answer.status, body: answer.body, type: answer.headers.get("content-type"), ...work });
    }
    expect(outcomes[0]).toMatchObject({ status: 202, hashes: 1, looks: 1 });
    expect(outcomes[1]).toEqual(outcomes[0]);
    expect(outcomes[2]).toEqual(outcomes[0]);
    const mails = (await service.mail()).filter(({ to }) => to === email);
    expect(mails.map(({ subject }) => subject)).toEqual([expect.stringContaining("You already have")]);
    expect((await service.ask("/v1/account", { session })).body.name).toBe("Someone");
    expect((await logIn(email)).status).toBe(401);
  });

  test("gives the owner's word to no password that somebody else chose for the address before", async () => {
    const email = newEmail();
    await service.post("/v1/account/signup", { email, password: "password of a stranger" });
    const strangers = await service.tokenTo(email, "verify_email");
    await signUp(email);
    const owners = await service.tokenTo(email, "verify_email");
    // Whichever link the owner opens, with the owner's password.
    expect(codeOf(await service.post("/v1/account/verify", { token: strangers, password: "password of a stranger" }))).toEqual([401, "invalid_credentials"]);
    expect((await service.post("/v1/account/verify", { token: owners, password })).status).toBe(200);
    expect((await logIn(email, "password of a stranger")).status).toBe(401);
  });

  test("opens one account of two that come at once", async () => {
    const email = newEmail();
    expect((await Promise.all([signUp(email), signUp(email)])).map(({ status }) => status)).toEqual([202, 202]);
    expect(await service.db.sql`select from persons where lower(email) = ${email}`).toHaveLength(1);
    expect((await service.mail()).filter(({ to }) => to === email)).toHaveLength(1);
  });

  test("opens one account of two, also when the second comes before the first is there", async () => {
    const email = newEmail();
    const phc = await service.parts.passwords.hash(password);
    const sign = (sql: Sql) => sql`select account_sign_up(${email}, null, ${phc})`;
    await behindLock(service.db.sql, sign, sign);
    expect(await service.db.sql`select from persons where lower(email) = ${email}`).toHaveLength(1);
  });

  test("sends the mail again when asked, and both links count until one is used", async () => {
    const email = newEmail();
    await signUp(email);
    const first = await service.tokenTo(email, "verify_email");
    expect((await service.post("/v1/account/verify/resend", { email })).status).toBe(202);
    const second = await service.tokenTo(email, "verify_email");
    expect(second).not.toBe(first);
    expect((await service.post("/v1/account/verify", { token: first, password })).status).toBe(200);
    expect(codeOf(await service.post("/v1/account/verify", { token: second, password }))).toEqual([400, "invalid_token"]);
    await service.post("/v1/account/verify/resend", { email });
    expect(await service.mail()).toEqual([]);
  });
});

describe("tokens in mail", () => {
  test("are stored as SHA-256, in no other form and nowhere else (sec.password, keep.account)", async () => {
    const email = newEmail();
    await signUp(email);
    const token = await service.tokenTo(email, "verify_email");
    const tables = await service.db.sql<{ name: string }[]>`
      select oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
    `;
    for (const { name } of tables) {
      const rows = await service.db.sql`select from ${service.db.sql(name)} as t where t::text like ${`%${token}%`}`;
      expect([name, rows.length]).toEqual([name, 0]);
    }
    const [row] = await service.db.sql`select hash = sha256(convert_to(${token}, 'UTF8')) as same from account_tokens order by expires_at desc limit 1`;
    expect(row!.same).toBe(true);
  });

  test("count until they expire, and for their own purpose only", async () => {
    const email = newEmail();
    await signUp(email);
    const token = await service.tokenTo(email, "verify_email");
    expect(codeOf(await service.post("/v1/account/password/reset", { token, password: "another password" }))).toEqual([400, "invalid_token"]);
    expect(codeOf(await service.post("/v1/account/delete/cancel", { token }))).toEqual([400, "invalid_token"]);
    expect(codeOf(await service.post("/v1/account/email/confirm", { token }))).toEqual([400, "invalid_token"]);
    await service.db.sql`update account_tokens set expires_at = now()`;
    expect(codeOf(await service.post("/v1/account/verify", { token, password }))).toEqual([400, "invalid_token"]);
  });

  test("are used once, also when two come at once", async () => {
    const { email } = await service.newPerson();
    await service.post("/v1/account/password/reset-request", { email });
    const token = await service.tokenTo(email, "reset_password");
    const both = await Promise.all(["first password of two", "second password of two"].map((next) => service.post("/v1/account/password/reset", { token, password: next })));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  test("are used once, also when the second use begins before the first has ended", async () => {
    const { email } = await service.newPerson();
    await service.post("/v1/account/password/reset-request", { email });
    const token = tokenHash(await service.tokenTo(email, "reset_password"));
    const phc = await service.parts.passwords.hash(password);
    const use = (sql: Sql) => sql`select account_reset_password(${token}, ${phc}, null)`;
    await expect(behindLock(service.db.sql, use, use)).rejects.toMatchObject({ code: "EP404" });
  });

  test("are for notify alone, by its signature", async () => {
    const { accountId } = await service.newPerson();
    const asked = { accountId, purpose: "reset_password" };
    expect(codeOf(await service.post("/mail-tokens", asked))).toEqual([401, "invalid_signature"]);
  });
});

describe("login", () => {
  test("answers for an unknown address as for a wrong password, after the same look and one hash", async () => {
    const { email } = await service.newPerson();
    const [operators] = await service.db.sql<{ id: string }[]>`insert into accounts default values returning id`;
    const withoutPassword = newEmail();
    await service.db.sql`insert into persons (account_id, email) values (${operators!.id}, ${withoutPassword})`;
    const outcomes = [];
    for (const address of [email, newEmail(), withoutPassword]) {
      const { answer, ...work } = await worked(() => logIn(address, "a wrong password"));
      outcomes.push({ status: answer.status, body: answer.body, ...work });
    }
    expect(outcomes[0]).toMatchObject({ status: 401, body: { error: { code: "invalid_credentials" } }, hashes: 1, looks: 1 });
    expect(outcomes[1]).toEqual(outcomes[0]);
    expect(outcomes[2]).toEqual(outcomes[0]);
  });

  test("throttles guesses at one account from one network, and lets its owner in from another (use.account)", async () => {
    const { email, password: right } = await service.newPerson();
    const from = (address: string, given: string) =>
      service.post("/v1/account/login", { email, password: given }, { headers: { "x-test-address": address } });
    const statuses = [];
    for (let guess = 0; guess < 12; guess += 1) statuses.push((await from(`203.0.113.${guess}`, "a wrong password")).status);
    expect(statuses).toEqual([...Array(10).fill(401), 429, 429]);
    const refused = await from("203.0.113.99", right);
    expect(codeOf(refused)).toEqual([429, "rate_limit_exceeded"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await from("198.51.100.1", right)).status).toBe(200);
    service.nextHour();
    expect((await from("203.0.113.99", right)).status).toBe(200);
  });

  test("throttles an unknown address just the same", async () => {
    const email = newEmail();
    const statuses = [];
    for (let guess = 0; guess < 11; guess += 1) {
      statuses.push((await service.post("/v1/account/login", { email, password }, { headers: { "x-test-address": "2001:db8:7::1" } })).status);
    }
    expect(statuses).toEqual([...Array(10).fill(401), 429]);
  });

  test("counts no right password", async () => {
    const { email, password: right } = await service.newPerson();
    for (let login = 0; login < 11; login += 1) {
      expect((await service.post("/v1/account/login", { email, password: right }, { headers: { "x-test-address": "192.0.2.1" } })).status).toBe(200);
    }
  });

  test("brings a password under newer parameters, and only its own (sec.password)", async () => {
    const { email, password: right, accountId } = await service.newPerson();
    const { createPasswords } = await import("../../../functions/accounts/passwords.ts");
    const { createHasher } = await import("../../../functions/accounts/hasher.ts");
    const hasher = createHasher();
    const former = await createPasswords(hasher, { memoryKib: 8_192, passes: 1, lanes: 1 }).hash(right);
    await hasher.close();
    const stored = async () => (await service.db.sql`select password_hash from persons where account_id = ${accountId}`)[0]!.password_hash;
    await service.db.sql`update persons set password_hash = ${former} where account_id = ${accountId}`;
    expect((await logIn(email, "a wrong password")).status).toBe(401);
    expect(await stored()).toBe(former);
    expect((await logIn(email, right)).status).toBe(200);
    expect(await stored()).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect((await logIn(email, right)).status).toBe(200);
  });
});

describe("reset of a password", () => {
  test("sets another one by a mailed token, ends all sessions, and answers the same for an unknown address (use.account)", async () => {
    const { email, session } = await service.newPerson();
    const [known, unknown] = [await service.post("/v1/account/password/reset-request", { email }), await service.post("/v1/account/password/reset-request", { email: newEmail() })];
    expect([known.status, known.body]).toEqual([unknown.status, unknown.body]);
    const token = await service.tokenTo(email, "reset_password");
    const reset = await service.post("/v1/account/password/reset", { token, password: "the next password" });
    expect((await service.ask("/v1/account", { session: reset.body.token })).status).toBe(200);
    expect(codeOf(await service.ask("/v1/account", { session }))).toEqual([401, "invalid_session"]);
    expect((await logIn(email, "the next password")).status).toBe(200);
    expect((await service.mail()).filter(({ to }) => to === email).map(({ subject }) => subject)).toEqual([expect.stringContaining("was changed")]);
  });

  test("and all that sends mail answers no sooner where there is nothing to do", async () => {
    const { email } = await service.newPerson();
    for (const [path, address] of [["password/reset-request", email], ["password/reset-request", newEmail()], ["signup", email], ["signup", newEmail()]] as const) {
      const [begun, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const handler = createHandler({ ...service.parts, pause: () => (begun.resolve(), mayEnd.promise) });
      let answered = false;
      const answer = handler(
        new Request(`http://accounts/v1/account/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(path === "signup" ? { email: address, password } : { email: address }),
        }),
      ).then(({ status }) => ((answered = true), status));
      await begun.promise;
      // The work itself is done by then: another look comes after it.
      await Promise.all(Array.from({ length: 8 }, () => service.parts.database.run((sql) => sql`select pg_sleep(0.05)`)));
      expect([path, answered]).toEqual([path, false]);
      mayEnd.resolve();
      expect(await answer).toBe(202);
    }
  });

  test("throttles mail to one mailbox, whoever has it", async () => {
    const { email } = await service.newPerson();
    service.nextHour();
    for (const address of [email, newEmail()]) {
      const statuses = [];
      for (let time = 0; time < 5; time += 1) statuses.push((await service.post("/v1/account/password/reset-request", { email: address })).status);
      expect(statuses).toEqual([202, 202, 202, 202, 429]);
    }
  });

  test("gives an account that an operator opened its first password", async () => {
    const [opened] = await service.db.sql<{ id: string }[]>`insert into accounts default values returning id`;
    const email = newEmail();
    await service.db.sql`insert into persons (account_id, email) values (${opened!.id}, ${email})`;
    await service.post("/v1/account/password/reset-request", { email });
    const token = await service.tokenTo(email, "reset_password");
    expect((await service.post("/v1/account/password/reset", { token, password })).status).toBe(200);
    expect((await logIn(email)).status).toBe(200);
  });
});

describe("what comes in", () => {
  const body = { email: "a@example.com", password };

  test.each([
    ["no JSON type", JSON.stringify(body), { "content-type": "text/plain" }, 415, "unsupported_media_type"],
    ["a form", "email=a%40example.com", { "content-type": "application/x-www-form-urlencoded" }, 415, "unsupported_media_type"],
    ["a lookalike type", JSON.stringify(body), { "content-type": "application/jsonx" }, 415, "unsupported_media_type"],
    ["a torn body", '{"email":', {}, 400, "invalid_json"],
    ["a list", "[]", {}, 400, null],
    ["a field that is none", JSON.stringify({ ...body, admin: true }), {}, 400, null],
    ["no address", JSON.stringify({ ...body, email: "nobody" }), {}, 400, null],
    ["a short password", JSON.stringify({ ...body, password: "short" }), {}, 400, null],
    ["a long password", JSON.stringify({ ...body, password: "long".repeat(65) }), {}, 400, null],
    ["one character", JSON.stringify({ ...body, password: "a".repeat(12) }), {}, 400, null],
    ["a body beyond the limit", JSON.stringify({ ...body, name: "n".repeat(40_000) }), {}, 413, "request_too_large"],
  ] as const)("%s is refused, and says what to do", async (_, text, headers, status, code) => {
    const answer = await service.ask("/v1/account/signup", { method: "POST", body: text, headers });
    expect(codeOf(answer)).toEqual([status, code]);
    expect(answer.body.error.message).toMatch(/^Cannot /);
    expect(answer.body.error.message).not.toMatch(/nobody|admin|a@example/);
    expect(answer.headers.has("set-cookie")).toBe(false);
  });

  test("a page elsewhere may call with a session of its own, and no cookie is ever set or read (track.none)", async () => {
    const preflight = await service.ask("/v1/account", { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([204, "GET, PATCH, OPTIONS"]);
    expect(preflight.headers.has("access-control-allow-credentials")).toBe(false);
    const { session } = await service.newPerson();
    expect(codeOf(await service.ask("/v1/account", { headers: { cookie: `session=${session}` } }))).toEqual([401, "invalid_session"]);
  });
});
