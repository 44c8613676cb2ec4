import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect, type Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { hashKey, isWellFormedKey } from "#shared/keys.ts";
import { scopes } from "#shared/policy.ts";
import { findChanges, findVerdicts } from "../../../functions/key-auth/queries.ts";
import { addModel } from "../../support/accounts.ts";
import { behindLock } from "../../support/behind-lock.ts";
import { type AccountsService, type Someone, startAccounts } from "../../support/accounts-service.ts";

let service: AccountsService;
let keyAuth: Sql;
let someone: Someone;
beforeAll(async () => {
  service = await startAccounts();
  keyAuth = connect({ url: service.db.urlFor("key-auth") });
  await addModel(service.db.sql, "test-chat");
});
afterAll(async () => {
  await keyAuth.end();
  await service.close();
});
beforeEach(async () => {
  service.nextHour();
  someone = await service.newPerson();
});

const keys = "/v1/account/keys";
const wishes = { name: "laptop", scopes: ["chat"] };
const make = (body: object = wishes, { session }: { session: string } = someone) => service.post(keys, body, { session });
const list = async () => (await service.ask(keys, { session: someone.session })).body;
const change = (id: string, body: object, session = someone.session) => service.ask(`${keys}/${id}`, { method: "PATCH", body, session });
const revoke = (id: string, session = someone.session) => service.ask(`${keys}/${id}`, { method: "DELETE", session });
const rotate = (id: string, body: object = {}, session = someone.session) => service.post(`${keys}/${id}/rotate`, body, { session });
const verdictOf = async (key: string) => (await findVerdicts(keyAuth, [hashKey(key)]))[0];
const codeOf = ({ status, body }: { status: number; body: any }) => [status, body.error?.code];
const auditOf = ({ accountId }: Someone) => service.db.sql<{ actor: string; action: string; objectId: string }[]>`
  select l.actor, l.action, l.object_id as "objectId" from audit_log l
  join accounts a on a.audit_alias = l.subject_alias where a.id = ${accountId} order by l.id
`;

describe("keys of an account", () => {
  test("are shown once, and stored as hash and prefix only (sec.key, keep.key)", async () => {
    const { status, body } = await make();
    expect([status, isWellFormedKey(body.key)]).toEqual([201, true]);
    const [row] = await service.db.sql`select to_jsonb(k) as row, encode(hash, 'hex') as hash from api_keys k where id = ${body.id}`;
    expect(row!.hash).toBe(hashKey(body.key));
    expect(JSON.stringify(row!.row)).not.toContain(body.key.slice(13));
    expect(await list()).toEqual({
      object: "list",
      used_since: null,
      data: [{
        object: "api_key", id: body.id, prefix: body.key.slice(0, 12), name: "laptop", status: "active", scopes: ["chat"], models: null,
        expires_at: null, requests_per_minute: null, tokens_per_minute: null, monthly_budget_rupiah: null,
        created_at: expect.any(String), revoked_at: null, last_used_at: null,
      }],
    });
    expect(await verdictOf(body.key)).toMatchObject({ accountId: someone.accountId, scopes: ["chat"] });
  });

  test("have the limits that are asked for, and change those that are given (keep.key)", async () => {
    const expiresAt = "2126-01-02T03:04:05.000Z";
    const asked = { models: ["test-chat"], expires_at: "2126-01-02T10:04:05+07:00", requests_per_minute: 5, tokens_per_minute: 7, monthly_budget_rupiah: 50_000 };
    const { body } = await make({ ...wishes, scopes: [...scopes], ...asked });
    const limits = { models: ["test-chat"], expires_at: expiresAt, requests_per_minute: 5, tokens_per_minute: 7, monthly_budget_rupiah: "50000.000000" };
    expect(body).toMatchObject(limits);
    expect(await verdictOf(body.key)).toMatchObject({
      models: ["test-chat"], expiresAtMs: Date.parse(expiresAt), requestsPerMinute: 5, tokensPerMinute: 7, monthlyBudgetMicro: "50000000000",
    });
    expect((await change(body.id, { name: " desk ", tokens_per_minute: null })).body).toMatchObject({ ...limits, name: "desk", tokens_per_minute: null });
    const others = { models: null, expires_at: null, requests_per_minute: null, monthly_budget_rupiah: null };
    expect((await change(body.id, { ...others, monthly_budget_rupiah: "1234.000001" })).body).toMatchObject({ ...others, monthly_budget_rupiah: "1234.000001" });
    expect((await change(body.id, others)).body).toMatchObject({ ...others, name: "desk", scopes: [...scopes] });
  });

  test("stop at once when they are revoked, and stay so (keep.key)", async () => {
    const { body } = await make();
    const { cursor } = await findChanges(keyAuth, null);
    expect((await revoke(body.id)).body).toMatchObject({ status: "revoked", revoked_at: expect.any(String) });
    expect((await revoke(body.id)).status).toBe(200);
    expect(await verdictOf(body.key)).toBeNull();
    expect((await findChanges(keyAuth, cursor)).keyHashes).toContain(hashKey(body.key));
    expect(codeOf(await change(body.id, { name: "again" }))).toEqual([409, "conflict"]);
    expect(codeOf(await rotate(body.id))).toEqual([409, "conflict"]);
  });

  test("are rotated: a new one with the same settings, and the old one for some hours more", async () => {
    const limits = { models: ["test-chat"], requests_per_minute: 5, tokens_per_minute: 7, monthly_budget_rupiah: "50000.000000" };
    const old = (await make({ ...wishes, ...limits })).body;
    await service.db.sql`insert into key_budgets values (${old.id}, date_trunc('month', now() at time zone 'UTC'), 17)`;
    const { status, body } = await rotate(old.id, { overlap_hours: 2 });
    expect([status, body]).toEqual([201, expect.objectContaining({ ...limits, name: "laptop", scopes: ["chat"], status: "active", rotated: old.id })]);
    expect(body.key).not.toBe(old.key);
    expect(await verdictOf(body.key)).toMatchObject({ expiresAtMs: null });
    const [ends] = await service.db.sql`select round(extract(epoch from expires_at - now()) / 60)::int as minutes from api_keys where id = ${old.id}`;
    expect(ends!.minutes).toBe(120);
    expect(await verdictOf(old.key)).not.toBeNull();
    expect((await service.db.sql`select spent_micro from key_budgets where key_id = ${body.id}`)[0]!.spent_micro).toBe(17n);
    const replaced = (await rotate(body.id, { overlap_hours: 0 })).body;
    expect([await verdictOf(body.key), (await verdictOf(replaced.key)) !== null]).toEqual([null, true]);
  });

  test("that are rotated last no longer than they would have", async () => {
    const soon = new Date(Date.now() + 600_000).toISOString();
    const old = (await make({ ...wishes, expires_at: soon })).body;
    const next = (await rotate(old.id)).body;
    expect([next.expires_at, (await list()).data.map(({ expires_at }: any) => expires_at)]).toEqual([soon, [soon, soon]]);
    await change(old.id, { expires_at: new Date(Date.now() - 1_000).toISOString() });
    expect(codeOf(await rotate(old.id))).toEqual([409, "conflict"]);
    expect((await list()).data.map(({ status }: any) => status)).toEqual(["active", "expired"]);
  });

  test("leave an audit row each time they are made, rotated or revoked, by the account (keep.audit, use.audit)", async () => {
    const first = (await make()).body;
    const second = (await rotate(first.id, { overlap_hours: 0 })).body;
    await change(second.id, { name: "not audited" });
    await revoke(second.id);
    await revoke(second.id);
    expect([...(await auditOf(someone))]).toEqual([
      { actor: "account", action: "key_created", objectId: first.id },
      { actor: "account", action: "key_created", objectId: second.id },
      { actor: "account", action: "key_rotated", objectId: first.id },
      { actor: "account", action: "key_revoked", objectId: first.id },
      { actor: "account", action: "key_revoked", objectId: second.id },
    ]);
  });

  test("are neither made nor audited when one of the two fails (keep.audit)", async () => {
    await service.db.sql`alter table audit_log add constraint broken check (action <> 'key_created') not valid`;
    try {
      expect((await make()).status).toBe(500);
    } finally {
      await service.db.sql`alter table audit_log drop constraint broken`;
    }
    expect((await list()).data).toEqual([]);
  });

  test("of another account are not there, whatever is asked (404)", async () => {
    const theirs = (await make()).body;
    const other = await service.newPerson();
    const asks = [
      (id: string) => change(id, { name: "mine" }, other.session),
      (id: string) => revoke(id, other.session),
      (id: string) => rotate(id, {}, other.session),
    ];
    for (const ask of asks) {
      const [stranger, unknown, malformed] = [await ask(theirs.id), await ask(randomUUID()), await ask("1")];
      expect(codeOf(stranger)).toEqual([404, "not_found"]);
      expect(stranger.body).toEqual(unknown.body);
      expect(codeOf(malformed)).toEqual(codeOf(unknown));
    }
    expect((await service.ask(keys, { session: other.session })).body.data).toEqual([]);
    expect((await list()).data).toMatchObject([{ id: theirs.id, name: "laptop", status: "active" }]);
    expect(await auditOf(other)).toHaveLength(0);
  });

  test("need a session, and no key is one", async () => {
    const { key, id } = (await make({ ...wishes, scopes: [...scopes] })).body;
    for (const [method, path] of [["GET", keys], ["POST", keys], ["PATCH", `${keys}/${id}`], ["POST", `${keys}/${id}/rotate`], ["DELETE", `${keys}/${id}`]] as const) {
      const body = method === "POST" || method === "PATCH" ? wishes : undefined;
      expect(codeOf(await service.ask(path, { method, body, headers: { authorization: `Bearer ${key}` } }))).toEqual([401, "invalid_session"]);
    }
  });

  test("are not made by a suspended account, which can revoke them", async () => {
    const { id } = (await make()).body;
    await service.db.sql`select admin_set_suspended(${someone.accountId}, true, 'abuse')`;
    expect(codeOf(await make())).toEqual([403, "account_suspended"]);
    expect(codeOf(await rotate(id))).toEqual([403, "account_suspended"]);
    expect((await revoke(id)).status).toBe(200);
  });

  test("are 50 that work, also when many are asked for at once, and a bounded number altogether", async () => {
    const fill = (count: number, more: { expired: boolean }) => service.db.sql`
      insert into api_keys (account_id, hash, prefix, name, scopes, expires_at)
      select ${someone.accountId}, sha256(gen_random_uuid()::text::bytea), 'ep_000000000', 'old', array['chat'],
        case when ${more.expired} then now() end
      from generate_series(1, ${count}::int)
    `;
    await fill(48, { expired: false });
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => make()));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([201, 201, 409, 409, 409]);
    await revoke(outcomes.find(({ status }) => status === 201)!.body.id);
    const makeOne = (sql: Sql) => sql`
      select account_create_key(${someone.accountId}, ${randomBytes(32)}, 'ep_000000000', 'x', array['chat'], null, null, null, null, null, 50, 500)
    `;
    await expect(behindLock(service.db.sql, makeOne, makeOne)).rejects.toMatchObject({ code: "EP429" });
    const [one] = (await list()).data;
    expect(codeOf(await rotate(one.id))).toEqual([409, "conflict"]);
    await service.db.sql`update api_keys set revoked_at = now() where account_id = ${someone.accountId}`;
    expect((await make()).status).toBe(201);
    await fill(448, { expired: true });
    const refused = await make();
    expect([refused.status, refused.body.error.message]).toEqual([409, expect.stringContaining("500 altogether")]);
    expect((await list()).data).toHaveLength(500);
  });

  test("say when they were last used, of calls that are kept (use.usage)", async () => {
    const [used, unused] = [(await make()).body, (await make()).body];
    const times = [Date.now() - 3_000, Date.now() - 2_000];
    await addCalls(used.id, times);
    const { data, used_since: since } = await list();
    const lastUsed = Object.fromEntries(data.map((key: any) => [key.id, key.last_used_at]));
    expect(lastUsed).toEqual({ [used.id]: new Date(times[1]!).toISOString(), [unused.id]: null });
    expect(since).toBeNull();
  });

  test("say since when calls were looked at, where there are more than that", async () => {
    const { id } = (await make()).body;
    const times = [Date.now() - 3_000, Date.now() - 2_000, Date.now() - 1_000];
    const ids = await addCalls(id, times);
    const use = (calls: number) => service.db.sql<{ oldest: string | null; last: string }[]>`
      select oldest, last_call as last from account_key_use(${someone.accountId}, ${calls})
    `;
    expect([...(await use(2))]).toEqual([{ oldest: ids[1], last: ids[2] }]);
    expect([...(await use(4))]).toEqual([{ oldest: null, last: ids[2] }]);
  });

  test.each([
    ["no scope", { name: "x", scopes: [] }, "scopes"],
    ["an unknown scope", { name: "x", scopes: ["root"] }, "scopes.0"],
    ["no name", { ...wishes, name: " " }, "name"],
    ["a long name", { ...wishes, name: "x".repeat(65) }, "name"],
    ["a limit of none", { ...wishes, requests_per_minute: 0 }, "requests_per_minute"],
    ["a budget below zero", { ...wishes, monthly_budget_rupiah: -1 }, "monthly_budget_rupiah"],
    ["a budget that is no number", { ...wishes, monthly_budget_rupiah: "1e9" }, "monthly_budget_rupiah"],
    ["a time that is none", { ...wishes, expires_at: "tomorrow" }, "expires_at"],
    ["a field that is none", { ...wishes, account_id: randomUUID() }, null],
  ])("are refused with %s", async (_, body, param) => {
    const answer = await make(body);
    expect([answer.status, answer.body.error.param]).toEqual([400, param]);
  });

  test("are refused with a model that there is not", async () => {
    expect(codeOf(await make({ ...wishes, models: ["nowhere"] }))).toEqual([404, "not_found"]);
    const { id } = (await make()).body;
    expect(codeOf(await change(id, { models: ["nowhere"] }))).toEqual([404, "not_found"]);
  });
});

/** Answers the calls' ids. */
async function addCalls(keyId: string, timesMs: number[]): Promise<string[]> {
  const ids = timesMs.map((timeMs) => uuidv7(timeMs));
  await service.db.sql`
    insert into usage_events (
      id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
      reasoning_tokens, images, latency_ms, endpoint, model_id, status
    )
    select id::uuid, ${someone.accountId}, ${keyId}, 1, 1, 1, 0, 1, 0, 0, 1, 'chat.completions', 1, 200
    from jsonb_array_elements_text(${service.db.sql.json(ids)}) as id
  `;
  return ids;
}

test("account_rotate_key() and its kin are for the accounts function alone (use.account)", async () => {
  const sql = connect({ url: service.db.urlFor("accounts"), connections: 1 });
  for (const table of ["persons", "accounts", "api_keys", "account_tokens", "usage_events", "audit_log", "billing_events"]) {
    await expect(sql`select from ${sql(table)}`).rejects.toThrow("permission denied");
  }
  await sql.end();
  for (const role of ["export", "billing", "notify", "key-auth"] as const) {
    const other = connect({ url: service.db.urlFor(role), connections: 1 });
    await expect(other`select account_revoke_key(${someone.accountId}, ${randomUUID()})`).rejects.toThrow("permission denied");
    await expect(other`select account_reset_password(${randomBytes(32)}, 'x', null)`).rejects.toThrow("permission denied");
    await other.end();
  }
});
