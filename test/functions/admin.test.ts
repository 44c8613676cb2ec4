import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { hashKey, isWellFormedKey } from "#shared/keys.ts";
import { createHandler } from "../../functions/admin/handler.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { adminSettings, openTestSession } from "../support/operators.ts";

let db: TestDatabase;
let pool: DatabasePool;
let operatorToken: string;
let handler: (request: Request) => Promise<Response>;

beforeAll(async () => {
  db = await createTestDatabase();
  pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  operatorToken = await openTestSession(db);
  handler = createHandler({ database: pool, ...adminSettings });
});
afterAll(async () => {
  await pool.close();
  await db.close();
});

async function post(path: string, body: unknown, token = operatorToken) {
  const response = await handler(
    new Request(`http://admin${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
  return { status: response.status, body: (await response.json()) as any };
}

async function newAccount(): Promise<string> {
  const { status, body } = await post("/accounts", { email: `${randomUUID()}@example.com`, name: "Someone" });
  expect(status).toBe(200);
  return body.accountId;
}

const auditOf = (accountId: string) => db.sql<{ action: string; objectId: string | null }[]>`
  select l.action, l.object_id as "objectId" from audit_log l
  join accounts a on a.audit_alias = l.subject_alias where a.id = ${accountId} order by l.id
`;

const keyWishes = { name: "laptop", scopes: ["chat"] };

describe("admin()", () => {
  test("opens an account with its welcome mail and audit row, once for each address (keep.audit)", async () => {
    const email = `${randomUUID()}@example.com`;
    const { body } = await post("/accounts", { email });
    expect((await auditOf(body.accountId)).map(({ action }) => action)).toEqual(["account_created"]);
    const [mail] = await db.sql`select template from outbox where account_id = ${body.accountId}`;
    expect(mail!.template).toBe("welcome");
    expect((await post("/accounts", { email: email.toUpperCase() })).status).toBe(409);
    const both = await Promise.all([1, 2].map(() => post("/accounts", { email: "twice@example.com" })));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  test("shows a key once and stores its hash and prefix only (sec.key, keep.key)", async () => {
    const accountId = await newAccount();
    const { body } = await post("/keys", { accountId, ...keyWishes });
    expect(isWellFormedKey(body.key)).toBe(true);
    const [row] = await db.sql`select to_jsonb(k) as row, encode(hash, 'hex') as hash from api_keys k where id = ${body.keyId}`;
    expect(row!.hash).toBe(hashKey(body.key));
    expect(JSON.stringify(row!.row)).not.toContain(body.key.slice(13));
    expect((await post("/keys/revoke", { keyId: body.keyId })).status).toBe(200);
    expect((await post("/keys/revoke", { keyId: body.keyId })).status).toBe(200);
    expect(await auditOf(accountId)).toMatchObject([
      { action: "account_created" },
      { action: "key_created", objectId: body.keyId },
      { action: "key_revoked", objectId: body.keyId },
    ]);
  });

  test("changes the limits that are given and no other, with an audit row (keep.audit, keep.key)", async () => {
    const accountId = await newAccount();
    const limits = { requestsPerMinute: 5, tokensPerMinute: 7, expiresAtMs: Date.UTC(2126, 0), monthlyBudgetMicro: "90000000000000001" };
    const { body } = await post("/keys", { accountId, ...keyWishes, ...limits });
    const columnsOf = async () => {
      const [row] = await db.sql`
        select requests_per_minute, tokens_per_minute, expires_at, monthly_budget_micro, models from api_keys where id = ${body.keyId}
      `;
      return Object.values(row!);
    };
    expect(await columnsOf()).toEqual([5, 7, new Date(limits.expiresAtMs), 90_000_000_000_000_001n, null]);
    expect((await post("/keys/limits", { keyId: body.keyId, tokensPerMinute: null, monthlyBudgetMicro: 12 })).status).toBe(200);
    expect(await columnsOf()).toEqual([5, null, new Date(limits.expiresAtMs), 12n, null]);
    const others = { requestsPerMinute: 6, expiresAtMs: null, monthlyBudgetMicro: "90000000000000001", models: null };
    expect((await post("/keys/limits", { keyId: body.keyId, ...others })).status).toBe(200);
    expect(await columnsOf()).toEqual([6, null, null, 90_000_000_000_000_001n, null]);
    const changes = (await auditOf(accountId)).filter(({ action }) => action === "key_limits_changed");
    expect(changes.map(({ objectId }) => objectId)).toEqual([body.keyId, body.keyId]);
    await post("/keys/revoke", { keyId: body.keyId });
    expect(await post("/keys/limits", { keyId: body.keyId, monthlyBudgetMicro: 1 })).toMatchObject({
      status: 409, body: { error: { message: "Cannot change limits: the key is revoked" } },
    });
    expect(await columnsOf()).toContain(90_000_000_000_000_001n);
  });

  test("suspends, reinstates and closes, and a closed account stays closed", async () => {
    const accountId = await newAccount();
    await post("/keys", { accountId, ...keyWishes });
    const statusOf = async () => (await db.sql`select status from accounts where id = ${accountId}`)[0]!.status;
    await post("/accounts/suspend", { accountId, reason: "abuse" });
    expect(await statusOf()).toBe("suspended");
    await post("/accounts/reinstate", { accountId });
    expect(await statusOf()).toBe("active");
    await post("/accounts/close", { accountId });
    expect(await statusOf()).toBe("closed");
    expect(await db.sql`select from api_keys where account_id = ${accountId} and revoked_at is null`).toHaveLength(0);
    expect((await post("/accounts/reinstate", { accountId })).status).toBe(409);
    expect((await post("/keys", { accountId, ...keyWishes })).status).toBe(409);
    expect((await auditOf(accountId)).map(({ action }) => action)).toEqual([
      "account_created",
      "key_created",
      "account_suspended",
      "account_reinstated",
      "account_closed",
    ]);
  });

  test("closes no account that has credit left (right.delete)", async () => {
    const accountId = await newAccount();
    const credit = { accountId, kind: "signup_credit", amountMicro: "7", reason: "signup", idempotencyKey: randomUUID() };
    await post("/credits", credit);
    expect((await post("/accounts/close", { accountId })).status).toBe(402);
    const forfeit = { ...credit, kind: "adjustment", amountMicro: "-7", reason: "account_closing", idempotencyKey: randomUUID() };
    expect((await post("/credits", forfeit)).status).toBe(200);
    expect((await post("/accounts/close", { accountId })).status).toBe(200);
  });

  test("posts money once for each idempotency key: the same again is the same, another payload is 409", async () => {
    const accountId = await newAccount();
    const credit = { accountId, kind: "top_up", amountMicro: "5000000", reason: "bank_transfer", idempotencyKey: randomUUID() };
    const answers = await Promise.all([post("/credits", credit), post("/credits", credit)]);
    expect(answers[0]!.body.eventId).toBe(answers[1]!.body.eventId);
    expect((await post("/credits", { ...credit, amountMicro: "5000001" })).status).toBe(409);
    expect((await post("/balance", { accountId })).body).toEqual({ balanceMicro: "5000000", availableMicro: "5000000" });
    const refund = { ...credit, kind: "refund", reason: "refund_requested", idempotencyKey: randomUUID() };
    expect((await post("/credits", { ...refund, amountMicro: "-5000001" })).status).toBe(402);
    expect((await post("/credits", { ...refund, amountMicro: "7" })).status).toBe(400);
    expect((await post("/balance", { accountId })).body.balanceMicro).toBe("5000000");
    expect((await auditOf(accountId)).filter(({ action }) => action === "billing_event_posted")).toHaveLength(1);
  });

  test("keeps neither the change nor its audit row when one of them fails (keep.audit)", async () => {
    const accountId = await newAccount();
    await db.sql`alter table audit_log add constraint broken check (action <> 'account_suspended') not valid`;
    try {
      expect((await post("/accounts/suspend", { accountId })).status).toBeGreaterThanOrEqual(400);
      expect((await db.sql`select status from accounts where id = ${accountId}`)[0]!.status).toBe("active");
    } finally {
      await db.sql`alter table audit_log drop constraint broken`;
    }
  });

  test("enters models and prices, which are never changed afterwards", async () => {
    const model = { id: "test-model", kind: "chat", contextTokens: 1000, outputTokensMax: 100, templateTokens: 10, imageTokensMax: 0 };
    expect((await post("/models", model)).status).toBe(200);
    expect((await post("/models", model)).status).toBe(409);
    const price = { model: "test-model", inputMicro: 1, cachedInputMicro: 1, outputMicro: 2, imageMicro: 0 };
    expect((await post("/prices", price)).body.version).toEqual(expect.any(Number));
    expect((await post("/prices", { ...price, model: "none" })).status).toBe(404);
    expect((await post("/models/enable", { id: "test-model", enabled: false })).status).toBe(200);
    expect((await db.sql`select enabled from models where name = 'test-model'`)[0]!.enabled).toBe(false);
  });

  test("enters a price of images with its lines by size and quality, whole or not at all", async () => {
    const model = { id: "test-image", kind: "image", contextTokens: 1000, outputTokensMax: 0, templateTokens: 0, imageTokensMax: 0 };
    await post("/models", model);
    const price = { model: "test-image", inputMicro: 1, cachedInputMicro: 1, outputMicro: 2, imageMicro: 500 };
    const lines = [{ size: "512x512", imageMicro: 100 }, { quality: "hd", imageMicro: 900 }];
    const { version } = (await post("/prices", { ...price, lines })).body;
    const stored = () => db.sql`select size, quality, image_micro::int as micro, input_micro::int as input from prices where line_of = ${version} order by version`;
    expect([...(await stored())]).toEqual([
      { size: "512x512", quality: null, micro: 100, input: 1 },
      { size: null, quality: "hd", micro: 900, input: 1 },
    ]);
    const before = (await db.sql`select count(*) as prices from prices`)[0]!.prices;
    expect((await post("/prices", { ...price, lines: [...lines, ...lines] })).status).toBe(409);
    expect((await post("/prices", { ...price, model: "test-model", lines })).status).toBe(409);
    expect((await post("/prices", { ...price, effectiveAtMs: Date.now() - 60_000 })).body.error.message).toContain("its time has passed");
    for (const line of [{ imageMicro: 1 }, { size: "big", imageMicro: 1 }, { quality: "best", imageMicro: 1 }]) {
      expect((await post("/prices", { ...price, lines: [line] })).status).toBe(400);
    }
    expect((await db.sql`select count(*) as prices from prices`)[0]!.prices).toBe(before);
    await expect(db.sql`update prices set image_micro = 1 where line_of = ${version}`).rejects.toThrow();
  });

  test("reads the books of a range of days", async () => {
    const [model] = await db.sql<{ id: number; name: string }[]>`select id, name from models limit 1`;
    await db.sql`insert into daily_books values ('2026-11-01', ${model!.id}, 3, 30, 5, 40, 6, 1, 9007199254740993)`;
    await db.sql`insert into operator_losses values ('2026-11-01', ${model!.id}, 1, 7), ('2026-11-02', ${model!.id}, 1, 8)`;
    const { body } = await post("/books", { from: "2026-10-01", to: "2026-11-01" });
    expect(body.days).toEqual([
      {
        day: "2026-11-01", model: model!.name, requests: 3, promptTokens: 30, cachedTokens: 5, completionTokens: 40, reasoningTokens: 6,
        images: 1, costMicro: "9007199254740993", lossRequests: 1, lossMicro: "7",
      },
    ]);
    expect(Date.parse(body.bookedUntil)).toBeLessThan(Date.now());
  });

  test("reads the reconciliation of engines and ledger, with the capture rate and the gap", async () => {
    const [model] = await db.sql<{ id: number; name: string }[]>`select id, name from models limit 1`;
    expect((await post("/reconciliation", {})).body).toEqual({ models: [] });
    await db.sql`
      insert into reconciliations values (now() - interval '20 minutes', ${model!.id}, now() - interval '25 minutes', 1, 100, 300, 100, 200)
    `;
    expect((await post("/reconciliation", { minutes: 5 })).body.models).toEqual([
      {
        model: model!.name, since: expect.any(String), until: expect.any(String), enginesMissing: 1, captureRate: 0.75, gapTokens: 100,
        engine: { promptTokens: 100, completionTokens: 300 }, ledger: { promptTokens: 100, completionTokens: 200 },
      },
    ]);
    expect((await post("/reconciliation", { minutes: 1 })).body.error.param).toBe("minutes");
  });

  test("confirms a gap of purge, once, with its audit row (keep.audit)", async () => {
    expect((await post("/purge/confirm", {})).status).toBe(404);
    await db.sql`insert into purge_runs (state, early_days, finished_at) values ('refused', 0, now())`;
    expect(await post("/purge/confirm", {})).toEqual({ status: 200, body: {} });
    expect(await db.sql`select from purge_runs where confirmed_by = 'operator' and confirmed_at is not null`).toHaveLength(1);
    expect((await post("/purge/confirm", {})).status).toBe(404);
    expect(await db.sql`select from audit_log where action = 'purge_gap_confirmed'`).toHaveLength(1);
  });

  test("says what could not be done and why", async () => {
    const accountId = await newAccount();
    const messageOf = async (path: string, body: unknown) => (await post(path, body)).body.error?.message;
    expect(await messageOf("/keys/revoke", { keyId: randomUUID() })).toBe("Cannot revoke key: no key has this id");
    expect(await messageOf("/keys", { accountId, ...keyWishes, models: ["nowhere"] })).toBe(
      "Cannot make key: no account has this id, or no model one of these names",
    );
    expect(await messageOf("/models/enable", { id: "nowhere", enabled: true })).toBe("Cannot change model: no model has this name");
    expect(await messageOf("/balance", { accountId: randomUUID() })).toBe("Cannot read balance: no account has this id");
    await post("/accounts/close", { accountId });
    expect(await messageOf("/accounts/suspend", { accountId })).toBe("Cannot suspend account: the account is closed for good");
    const credit = { accountId, kind: "top_up", amountMicro: "0", reason: "bank_transfer", idempotencyKey: randomUUID() };
    expect(await messageOf("/credits", credit)).toContain("a top-up or signup credit positive");
  });

  test.each([
    ["/accounts", "{", 400, undefined],
    ["/accounts", { email: "nobody" }, 400, "email"],
    ["/accounts", { email: "a@example.com", prompt: "x" }, 400, undefined],
    ["/keys", { accountId: "1", ...keyWishes }, 400, "accountId"],
    ["/keys", { accountId: randomUUID(), ...keyWishes }, 404, undefined],
    ["/keys", { accountId: randomUUID(), ...keyWishes, scopes: ["root"] }, 400, "scopes.0"],
    ["/keys/revoke", { keyId: randomUUID() }, 404, undefined],
    ["/keys", { accountId: randomUUID(), ...keyWishes, monthlyBudgetMicro: "-1" }, 400, "monthlyBudgetMicro"],
    ["/keys/limits", { keyId: randomUUID(), monthlyBudgetMicro: 1.5 }, 400, "monthlyBudgetMicro"],
    ["/keys/limits", { keyId: randomUUID(), monthlyBudgetMicro: null }, 404, undefined],
    ["/keys/limits", { keyId: randomUUID(), requestsPerMinute: 0 }, 400, "requestsPerMinute"],
    ["/keys/limits", { keyId: randomUUID(), name: "x" }, 400, undefined],
    ["/credits", { accountId: randomUUID(), kind: "top_up", amountMicro: 5 }, 400, "amountMicro"],
    ["/books", { from: "2026-11-02", to: "2026-11-01" }, 400, "to"],
    ["/books", { from: "2026-01-01", to: "2026-11-01" }, 400, "to"],
    ["/books", { from: "yesterday", to: "2026-11-01" }, 400, "from"],
    ["/nothing", {}, 404, undefined],
    ["/__proto__", {}, 404, undefined],
  ])("answers %s with %j by %i and names the field", async (path, body, status, param) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(status);
    expect(answer.body.error.param ?? undefined).toBe(param);
  });

  test("accepts nobody but operators", async () => {
    expect((await post("/accounts", {}, "a-token-of-nobody")).status).toBe(401);
    const bare = await handler(new Request("http://admin/accounts", { method: "POST", body: "{}" }));
    expect(bare.status).toBe(401);
  });

  test("lets nobody change or delete the audit log, the admin role least of all (keep.audit)", async () => {
    await newAccount();
    for (const change of [
      { actor: "system", operator_id: null }, { action: "key_revoked" }, { reason: "legal" }, { at: new Date(0) }, { object_id: randomUUID() },
      { operator_id: randomUUID() }, { subject_commitment: randomBytes(32) }, { subject_alias: null, subject_salt: null, reason: "legal" },
      { subject_alias: randomUUID() },
    ]) {
      await expect(db.sql`update audit_log set ${db.sql(change)} where actor = 'operator'`).rejects.toMatchObject({ code: "EP409" });
    }
    await expect(db.sql`delete from audit_log`).rejects.toThrow();
    await expect(db.sql`truncate audit_log`).rejects.toThrow();
    for (const table of ["audit_log", "persons", "api_keys", "balances"]) {
      await expect(pool.run((sql) => sql`select from ${sql(table)}`)).rejects.toThrow();
    }
  });
});
