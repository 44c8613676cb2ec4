import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID } from "node:crypto";
import { SignJWT, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeReceiptKey, publicKeyOf } from "#infra/receipts/key.ts";
import { createAccountOf } from "#shared/caller.ts";
import { generateKey } from "#shared/keys.ts";
import { receiptKey } from "#shared/receipts.ts";
import { sessionAudience, sessionIssuer, sessionMs, sessionType } from "#shared/sessions.ts";
import { createSessionIssuer } from "../../../functions/accounts/sessions.ts";
import { VerdictsAnswer } from "../../../functions/key-auth/schema.ts";
import { createSessionVerifier } from "../../../functions/key-auth/sessions.ts";
import { addKey } from "../../support/accounts.ts";
import { type AccountsService, type Someone, startAccounts } from "../../support/accounts-service.ts";

let service: AccountsService;
let someone: Someone;
beforeAll(async () => {
  service = await startAccounts();
  someone = await service.newPerson();
});
afterAll(() => service.close());
beforeEach(() => service.nextHour());

const statusOf = async (session: string) => (await service.ask("/v1/account", { session })).status;
const decoded = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
const nowS = () => Date.now() / 1000;

interface Forged {
  key?: string;
  header?: object;
  claims?: object;
}

/** A session of someone, signed as accounts does it, with some parts replaced. */
async function forge({ key = service.sessionKey, header = {}, claims = {} }: Forged = {}): Promise<string> {
  const { kid } = publicKeyOf(key);
  const all = { sub: someone.accountId, iss: sessionIssuer, aud: sessionAudience, iat: nowS(), exp: nowS() + 60, ...claims };
  return new SignJWT(all).setProtectedHeader({ alg: "EdDSA", typ: sessionType, kid, ...header }).sign(createPrivateKey(key));
}

describe("a session", () => {
  test("says whose it is, since when and until when, and nothing else, for 24 hours (keep.session)", async () => {
    const [header, claims] = someone.session.split(".");
    expect(decoded(header!)).toEqual({ alg: "EdDSA", typ: sessionType, kid: publicKeyOf(service.sessionKey).kid });
    const { iat, exp, ...rest } = decoded(claims!);
    expect(rest).toEqual({ sub: someone.accountId, iss: sessionIssuer, aud: sessionAudience });
    expect((exp - iat) * 1000).toBeCloseTo(24 * 3_600_000, 0);
    expect(sessionMs).toBe(24 * 3_600_000);
  });

  const secret = "x".repeat(32);
  const forgeries: [string, () => string | Promise<string>][] = [
    ["with alg none", () => new UnsecuredJWT({ sub: someone.accountId, iss: sessionIssuer, aud: sessionAudience, iat: nowS(), exp: nowS() + 60 }).encode()],
    ["with alg none in the present header's place", async () => {
      const [, claims] = (await forge()).split(".");
      return `${Buffer.from(JSON.stringify({ alg: "none", typ: sessionType, kid: publicKeyOf(service.sessionKey).kid })).toString("base64url")}.${claims}.`;
    }],
    ["with HS256 under the public key", async () => {
      const { kid } = publicKeyOf(service.sessionKey);
      const pem = createPublicKey(createPrivateKey(service.sessionKey)).export({ type: "spki", format: "pem" });
      const [, claims] = (await forge()).split(".");
      const signed = `${Buffer.from(JSON.stringify({ alg: "HS256", typ: sessionType, kid })).toString("base64url")}.${claims}`;
      return `${signed}.${createHmac("sha256", pem).update(signed).digest("base64url")}`;
    }],
    ["with HS256 and no kid", () => new SignJWT({ sub: someone.accountId }).setProtectedHeader({ alg: "HS256", typ: sessionType }).sign(Buffer.from(secret))],
    ["of another key", () => forge({ key: makeReceiptKey() })],
    ["of another key under our kid", () => forge({ key: makeReceiptKey(), header: { kid: publicKeyOf(service.sessionKey).kid } })],
    ["with its key inside", async () => {
      const key = generateKeyPairSync("ed25519").privateKey;
      const jwk = createPublicKey(key).export({ format: "jwk" });
      return new SignJWT({ sub: someone.accountId, iss: sessionIssuer, aud: sessionAudience, exp: nowS() + 60, iat: nowS() })
        .setProtectedHeader({ alg: "EdDSA", typ: sessionType, kid: receiptKey(jwk.x!).kid, jwk: jwk as any })
        .sign(key);
    }],
    ["without kid", () => forge({ header: { kid: undefined } })],
    ["of another type", () => forge({ header: { typ: "epithre-usage-receipt-v1" } })],
    ["of another issuer", () => forge({ claims: { iss: "someone" } })],
    ["for another audience", () => forge({ claims: { aud: "other" } })],
    ["that has expired", () => forge({ claims: { iat: nowS() - 61, exp: nowS() - 1 } })],
    ["without an end", () => forge({ claims: { exp: undefined } })],
    ["that lasts longer than promised", () => forge({ claims: { exp: nowS() + 86_400 + 60 } })],
    ["of an account that is none", () => forge({ claims: { sub: randomUUID() } })],
    ["of nobody", () => forge({ claims: { sub: "1' or true --" } })],
    ["with another's claims", async () => {
      const [header, , signature] = someone.session.split(".");
      const [, claims] = (await forge({ claims: { exp: nowS() + 70_000 } })).split(".");
      return `${header}.${claims}.${signature}`;
    }],
    ["that is cut", () => someone.session.slice(0, -2)],
    ["that is far too long", () => `${someone.session}${"A".repeat(2_000)}`],
    ["that is none", () => "eyJ"],
  ];

  test("counts, forged as accounts would sign it: so what the following change is what counts", async () => {
    expect(await statusOf(await forge())).toBe(200);
  });

  test.each(forgeries)("%s is refused", async (_, make) => {
    const { status, body } = await service.ask("/v1/account", { session: await make() });
    expect([status, body.error.code]).toEqual([401, "invalid_session"]);
    expect(body.error.message).not.toContain("eyJ");
  });

  test("is no API key, and an API key is no session", async () => {
    const { key } = await addKey(service.db.sql, someone.accountId);
    for (const bearer of [key, generateKey(), "", "x"]) {
      expect((await service.ask("/v1/account", { headers: { authorization: `Bearer ${bearer}` } })).body.error.code).toBe("invalid_session");
    }
  });

  test("ends everywhere at once, and one that begins afterwards counts, to the millisecond", async () => {
    const { email, password, session } = await service.newPerson();
    const other = (await service.post("/v1/account/login", { email, password })).body.token;
    const ended = await service.post("/v1/account/logout-all", {}, { session: other });
    expect(ended.body).toEqual({ object: "logout", ended: "all" });
    const next = (await service.post("/v1/account/login", { email, password })).body.token;
    expect([await statusOf(session), await statusOf(other), await statusOf(next)]).toEqual([401, 401, 200]);
  });

  test("that began in the same millisecond in which all are ended is ended too", async () => {
    const { accountId, password } = await service.newPerson();
    const [row] = await service.db.sql<{ hash: string }[]>`select password_hash as hash from persons where account_id = ${accountId}`;
    const started = await service.db.sql<{ ms: number; from: Date }[]>`
      select begin_session(${accountId}, ${row!.hash}, null) as ms, end_of_sessions() as from from generate_series(1, 2000)
    `;
    expect(password).toBeTruthy();
    for (const { ms, from } of started) expect(ms).toBeLessThan(from.getTime());
  });

  test("ends with another password, but for the one that the change answers", async () => {
    const { email, password, session } = await service.newPerson();
    const wrong = await service.post("/v1/account/password", { password: "not the password", new_password: "the next password" }, { session });
    expect([wrong.status, await statusOf(session)]).toEqual([401, 200]);
    const changed = await service.post("/v1/account/password", { password, new_password: "the next password" }, { session });
    expect([await statusOf(session), await statusOf(changed.body.token)]).toEqual([401, 200]);
    expect((await service.post("/v1/account/login", { email, password })).status).toBe(401);
    expect((await service.post("/v1/account/login", { email, password: "the next password" })).status).toBe(200);
  });

  test("counts while its account is suspended, and no longer once it is closed", async () => {
    const { accountId, session } = await service.newPerson();
    await service.db.sql`select admin_set_suspended(${accountId}, true, 'abuse')`;
    expect((await service.ask("/v1/account", { session })).body.status).toBe("suspended");
    await service.db.sql`select admin_close_account(${accountId})`;
    expect(await statusOf(session)).toBe(401);
  });
});

describe("createSessionVerifier()", () => {
  test("takes sessions of the former, the present and the next key, and none once a key is taken out", async () => {
    const keys = [makeReceiptKey(), makeReceiptKey(), makeReceiptKey()];
    const tokens = await Promise.all(keys.map(async (pem) => (await createSessionIssuer(createPrivateKey(pem))(someone.accountId, Date.now())).token));
    const taken = async (pems: string[]) => Promise.all(tokens.map(async (token) => (await createSessionVerifier(pems.map(publicKeyOf))(token)) !== null));
    expect(await taken(keys)).toEqual([true, true, true]);
    expect(await taken(keys.slice(1))).toEqual([false, true, true]);
    expect(await taken([])).toEqual([false, false, false]);
  });

  test("tells when it began to the millisecond", async () => {
    const verify = createSessionVerifier([publicKeyOf(service.sessionKey)]);
    for (let time = 0; time < 50; time += 1) {
      const startedAtMs = Date.now() - Math.floor(Math.random() * 1e7);
      const { token } = await createSessionIssuer(createPrivateKey(service.sessionKey))(someone.accountId, startedAtMs);
      expect(await verify(token)).toEqual({ accountId: someone.accountId, startedAtMs });
    }
  });
});

describe("createAccountOf()", () => {
  const accountOf = () => createAccountOf({ keyAuth: service.keyAuth, answer: VerdictsAnswer, scope: "billing", task: "use billing" });

  test("takes a session where it takes a key, also of a suspended account (right.export)", async () => {
    const person = await service.newPerson();
    const { key, keyId } = await addKey(service.db.sql, person.accountId);
    await service.db.sql`update api_keys set scopes = array['billing'] where id = ${keyId}`;
    await service.db.sql`select admin_set_suspended(${person.accountId}, true, 'abuse')`;
    expect(await accountOf()(`Bearer ${person.session}`)).toBe(person.accountId);
    expect(await accountOf()(`bearer ${key}`)).toBe(person.accountId);
    await expect(accountOf()(`Bearer ${await forge({ key: makeReceiptKey() })}`)).rejects.toMatchObject({ kind: "invalid_session" });
    await expect(accountOf()("Bearer nothing")).rejects.toMatchObject({ kind: "invalid_api_key" });
  });
});
