import { createPrivateKey, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "#shared/db.ts";
import { hashKey } from "#shared/keys.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { checkLog } from "#infra/audit/check.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { abuseThresholds, throttle, throttleThresholds } from "../../functions/admin/abuse.ts";
import { routes } from "../../functions/admin/routes.ts";
import { createHandler as createSeal } from "../../functions/audit-seal/handler.ts";
import { addModel } from "../support/accounts.ts";
import { startAdmin } from "../support/operators.ts";

let admin: Awaited<ReturnType<typeof startAdmin>>;
beforeAll(async () => {
  admin = await startAdmin();
  await addModel(admin.db.sql, "test-chat");
});
afterAll(() => admin.close());

interface Row {
  action: string;
  actor: string;
  operatorId: string | null;
  accountId: string | null;
}

/** What `work` left in the audit log. */
async function rowsOf(work: () => Promise<unknown>): Promise<Row[]> {
  const [last] = await admin.db.sql<{ id: bigint }[]>`select coalesce(max(id), 0) as id from audit_log`;
  await work();
  return admin.db.sql<Row[]>`
    select l.action, l.actor, l.operator_id as "operatorId", a.id as "accountId"
    from audit_log l left join accounts a on a.audit_alias = l.subject_alias where l.id > ${last!.id} order by l.id
  `;
}

async function newPerson() {
  const email = `${randomUUID()}@example.com`;
  const { body } = await admin.post("/accounts", { email, name: "Somebody" });
  return { accountId: body.accountId as string, email };
}

async function newKey(accountId: string, limits: object = {}) {
  const { body } = await admin.post("/keys", { accountId, name: "laptop", scopes: ["chat"], ...limits });
  return body as { keyId: string; key: string; prefix: string };
}

/** Calls of a key in the middle of each of these minutes; the nth of one took n milliseconds. */
async function addCalls(accountId: string, keyId: string, count: number, status: number, minutesAgo = [1]): Promise<void> {
  await admin.db.sql`
    insert into usage_events (
      id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, images,
      latency_ms, endpoint, model_id, status
    )
    select uuidv7(date_trunc('minute', now()) - clock_timestamp() - make_interval(mins => minute, secs => 30)), ${accountId}, ${keyId}, 1, 1, 1, 0, 1, 0, 0, n, 'chat.completions',
      (select id from models where name = 'test-chat'), ${status}
    from generate_series(1, ${count}) as n, unnest(${minutesAgo}::integer[]) as minute
  `;
}

async function addThrottle(accountId: string): Promise<void> {
  await admin.db.sql`
    insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${accountId}, 'left', 10, now() + interval '1 hour')
  `;
}

describe("each route of admin", () => {
  /** These name nobody, and are read without a row. */
  const readsNobody = ["/models/list", "/books", "/reconciliation", "/operators", "/audit/days", "/purge/runs", "/attestations"];

  /** What to ask each route, so that it does what it is for. */
  const examples: Record<string, () => Promise<object>> = {
    "/accounts": async () => ({ email: `${randomUUID()}@example.com` }),
    "/accounts/find": async () => ({ email: (await newPerson()).email }),
    "/accounts/read": newPersonId,
    "/accounts/suspend": newPersonId,
    "/accounts/reinstate": newPersonId,
    "/accounts/close": newPersonId,
    "/balance": newPersonId,
    "/keys": async () => ({ ...(await newPersonId()), name: "x", scopes: ["chat"] }),
    "/keys/limits": async () => ({ keyId: (await newKey((await newPerson()).accountId)).keyId, requestsPerMinute: 5 }),
    "/keys/revoke": async () => ({ keyId: (await newKey((await newPerson()).accountId)).keyId }),
    "/credits": async () => ({ ...(await newPersonId()), kind: "top_up", amountMicro: "5", reason: "bank_transfer", idempotencyKey: randomUUID() }),
    "/invoices/find": async () => ({ number: (await newInvoice()).number }),
    "/invoices/confirm": async () => ({ invoiceId: (await newInvoice()).id, receivedRupiah: 111_000 }),
    "/signup-credits": newPersonId,
    "/models": async () => ({ id: `m-${randomUUID()}`, kind: "chat", contextTokens: 1, outputTokensMax: 1, templateTokens: 0, imageTokensMax: 0 }),
    "/models/enable": async () => ({ id: "test-chat", enabled: true }),
    "/models/retire": async () => ({ id: "test-chat", retiresAtMs: Date.now() + 40 * 86_400_000 }),
    "/models/retire/withdraw": async () => ({ id: "test-chat" }),
    "/prices": async () => ({ model: "test-chat", inputMicro: 1, cachedInputMicro: 1, outputMicro: 1, imageMicro: 0 }),
    "/purge/confirm": async () => {
      await admin.db.sql`insert into purge_runs (state, early_days, finished_at) values ('refused', 0, now())`;
      return {};
    },
    "/attestations/state": async () => ({ promise: "pay.alpha" }),
    "/attestations/withdraw": async () => ({ promise: "pay.alpha" }),
    "/abuse": async () => ({}),
    "/abuse/lift": async () => {
      const { accountId } = await newPerson();
      await addThrottle(accountId);
      return { accountId };
    },
    "/audit": async () => ({}),
    "/audit/export": async () => ({}),
    "/operators/create": async () => ({ name: `o${randomUUID().slice(0, 8)}` }),
    "/operators/recover": async () => ({ operatorId: admin.operatorId }),
    "/operators/disable": newOperatorId,
    "/passkeys/add": async () => ({}),
    "/books": async () => ({ from: "2026-11-01", to: "2026-11-01" }),
    // The last: it ends the session.
    "/sign-out": async () => ({}),
  };

  async function newPersonId() {
    return { accountId: (await newPerson()).accountId };
  }

  async function newInvoice() {
    const { accountId } = await newPerson();
    await admin.db.sql`select request_top_up(${accountId}, 100000, ${randomUUID()}, 1100, 14, 5, 20)`;
    const [invoice] = await admin.db.sql<{ id: string; number: string }[]>`
      select id, 'INV-' || year || '-' || lpad(number::text, 6, '0') as number from invoices where account_id = ${accountId}
    `;
    return invoice!;
  }

  async function newOperatorId() {
    await admin.db.sql`
      insert into operator_credentials (id, operator_id, public_key, uses) values (sha256('x'), ${admin.operatorId}, sha256('y'), 0) on conflict do nothing
    `;
    const { body } = await admin.post("/operators/create", { name: `o${randomUUID().slice(0, 8)}` });
    return { operatorId: body.operatorId };
  }

  test("leaves a row that names the operator, or names nobody (keep.audit, use.audit)", async () => {
    expect(Object.keys(routes).filter((path) => !examples[path] && !readsNobody.includes(path))).toEqual([]);
    const paths = [...Object.keys(routes).filter((path) => path !== "/sign-out"), "/sign-out"];
    for (const path of paths) {
      const body = (await examples[path]?.()) ?? {};
      let status = 0;
      const rows = await rowsOf(async () => ({ status } = await admin.post(path, body)));
      expect([path, status]).toEqual([path, 200]);
      expect([path, rows.length > 0]).toEqual([path, !readsNobody.includes(path)]);
      for (const { actor, operatorId } of rows) {
        const isRefusedRun = actor === "system" && path === "/purge/confirm";
        if (!isRefusedRun) expect([path, actor, operatorId]).toEqual([path, "operator", admin.operatorId]);
      }
    }
    // Signed out: the next tests need a session again.
    await admin.close();
    admin = await startAdmin();
    await addModel(admin.db.sql, "test-chat");
  });
});

describe("looking up a person", () => {
  test.each([
    ["address", (person: { email: string }) => ({ email: person.email.toUpperCase() })],
    ["id", (person: { accountId: string }) => ({ accountId: person.accountId })],
    ["prefix of a key", (person: { prefix: string }) => ({ keyPrefix: person.prefix })],
  ])("by %s finds the account and leaves a row about it (keep.audit)", async (_, query) => {
    const person = await newPerson();
    const { prefix } = await newKey(person.accountId);
    let found: unknown;
    const rows = await rowsOf(async () => (found = (await admin.post("/accounts/find", query({ ...person, prefix }))).body));
    expect(found).toEqual({ accounts: [{ accountId: person.accountId, status: "active" }] });
    expect(rows).toEqual([{ action: "account_viewed", actor: "operator", operatorId: admin.operatorId, accountId: person.accountId }]);
  });

  test("through an invoice leaves a row about who is to pay it, and in vain one about nobody (keep.audit)", async () => {
    const { accountId } = await newPerson();
    await admin.db.sql`select request_top_up(${accountId}, 100000, ${randomUUID()}, 1100, 14, 5, 20)`;
    const found = await rowsOf(() => admin.post("/invoices/find", { accountId }));
    expect(found).toMatchObject([{ action: "account_viewed", accountId }]);
    const vain = await rowsOf(() => admin.post("/invoices/find", { number: "INV-2020-000001" }));
    expect(vain).toMatchObject([{ action: "account_searched", accountId: null }]);
  });

  test("in vain leaves a row too, without what was searched for (keep.audit)", async () => {
    const email = `${randomUUID()}@example.com`;
    let found: unknown;
    const rows = await rowsOf(async () => (found = (await admin.post("/accounts/find", { email })).body));
    expect(found).toEqual({ accounts: [] });
    expect(rows).toEqual([{ action: "account_searched", actor: "operator", operatorId: admin.operatorId, accountId: null }]);
    const [row] = await admin.db.sql<{ text: string }[]>`select l::text as text from audit_log l order by id desc limit 1`;
    expect(row!.text).not.toContain(email.slice(0, 8));
  });

  test("shows what the account has, and of its keys no more than the prefix (sec.key, keep.audit)", async () => {
    const { accountId, email } = await newPerson();
    const { keyId, key, prefix } = await newKey(accountId, { requestsPerMinute: 7 });
    await admin.post("/credits", { accountId, kind: "top_up", amountMicro: "9007199254740993", reason: "bank_transfer", idempotencyKey: randomUUID() });
    const { body, text } = await admin.post("/accounts/read", { accountId });
    expect(body).toMatchObject({
      id: accountId, status: "active", email, name: "Somebody", balanceMicro: "9007199254740993", availableMicro: "9007199254740993",
      keys: [{ id: keyId, prefix, name: "laptop", requestsPerMinute: 7, revokedAt: null }],
      billingEvents: [{ kind: "top_up", amountMicro: "9007199254740993", reason: "bank_transfer" }],
    });
    for (const secret of [key.slice(12), hashKey(key)]) expect(text).not.toContain(secret);
    expect((await admin.post("/accounts/read", { accountId: randomUUID() })).status).toBe(404);
  });

  test.each([[{}], [{ email: "a@example.com", accountId: randomUUID() }], [{ keyPrefix: "ep_" }], [{ email: "%" }], [{ name: "Somebody" }]])(
    "takes one exact word and no pattern: not %j",
    async (query) => {
      expect((await admin.post("/accounts/find", query)).status).toBe(400);
    },
  );
});

describe("models and engines", () => {
  test("come with their prices and how the last minutes went", async () => {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId);
    await addCalls(accountId, keyId, 90, 200);
    await addCalls(accountId, keyId, 10, 503);
    await admin.post("/prices", { model: "test-chat", effectiveAtMs: Date.now() + 86_400_000, inputMicro: 9, cachedInputMicro: 9, outputMicro: 9, imageMicro: 0 });
    await admin.db.sql`insert into engine_counters values (${randomUUID()}, (select id from models where name = 'test-chat'), now(), 1, 1)`;
    const { body } = await admin.post("/models/list");
    const model = body.models.find(({ id }: { id: string }) => id === "test-chat");
    expect(model).toMatchObject({ enabled: true, requests: 100, failed: 10, latencyMs: 85 });
    expect(model.prices.map(({ inputMicro }: { inputMicro: number }) => inputMicro)).toEqual([5000, 9]);
    expect(body.engines).toEqual([{ backend: expect.any(String), models: ["test-chat"], readAt: expect.any(String) }]);
  });
});

describe("signs of abuse", () => {
  const { callsMin, limitedMinutesMin } = abuseThresholds;
  const signsOf = async (accountId: string) =>
    (await admin.post("/abuse")).body.accounts.filter((sign: { accountId: string }) => sign.accountId === accountId);

  test.each([["errors", 400], ["left", 499]])("are %s from half of the calls on, and not below (use.usage)", async (signal, status) => {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId);
    await addCalls(accountId, keyId, callsMin, status);
    await addCalls(accountId, keyId, callsMin, 200);
    expect(await signsOf(accountId)).toEqual([{ accountId, status: "active", signal, counted: callsMin, of: 2 * callsMin }]);
    await addCalls(accountId, keyId, 1, 200);
    expect(await signsOf(accountId)).toEqual([]);
  });

  test("are no few calls, no old ones, and no faults of ours (use.usage)", async () => {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId);
    await addCalls(accountId, keyId, callsMin - 1, 400);
    await addCalls(accountId, keyId, callsMin, 400, [abuseThresholds.minutes + 1]);
    expect(await signsOf(accountId)).toEqual([]);
    await addCalls(accountId, keyId, callsMin, 503);
    expect(await signsOf(accountId)).toEqual([]);
  });

  test("are minutes at a key's rate limit (use.usage)", async () => {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId, { requestsPerMinute: 10 });
    await addCalls(accountId, keyId, 9, 200, Array.from({ length: limitedMinutesMin - 1 }, (_, index) => index + 1));
    await addCalls(accountId, keyId, 8, 200, [limitedMinutesMin + 3]);
    expect(await signsOf(accountId)).toEqual([]);
    await addCalls(accountId, keyId, 9, 200, [limitedMinutesMin + 1]);
    expect(await signsOf(accountId)).toEqual([
      { accountId, status: "active", signal: "rate_limit", counted: limitedMinutesMin, of: abuseThresholds.minutes },
    ]);
  });
});

describe("throttling", () => {
  const { callsMin, errorShare, minutes } = throttleThresholds;
  const refusedOf = (calls: number) => Math.ceil(calls * errorShare);
  /** As the schedule calls: without a session. */
  const run = async () => (await admin.post("/", {}, { session: false })).body.throttled as number;
  const throttlesOf = async (accountId: string) =>
    (await admin.post("/abuse")).body.throttles.filter((row: { accountId: string }) => row.accountId === accountId);

  async function personWith(calls: number, refused: number, status = 400, minutesAgo = 1) {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId);
    await addCalls(accountId, keyId, refused, status, [minutesAgo]);
    await addCalls(accountId, keyId, calls - refused, 200, [minutesAgo]);
    return accountId;
  }

  test("slows down who is at the thresholds, for a bounded time and for the worse of two signs, and nobody below (use.usage)", async () => {
    const bystanders = [
      await personWith(callsMin, refusedOf(callsMin) - 1),
      await personWith(callsMin - 1, callsMin - 1),
      await personWith(callsMin, callsMin, 503),
      await personWith(callsMin, callsMin, 400, minutes + 1),
    ];
    const suspended = await personWith(callsMin, callsMin);
    await admin.post("/accounts/suspend", { accountId: suspended });
    const [refusing, leaving] = [await personWith(callsMin, refusedOf(callsMin)), await personWith(callsMin, callsMin, 499)];
    const rows = await rowsOf(async () => expect(await run()).toBe(2));
    expect(rows).toEqual([]);
    for (const accountId of [...bystanders, suspended]) expect(await throttlesOf(accountId)).toEqual([]);
    for (const [accountId, signal] of [[refusing, "errors"], [leaving, "left"]] as const) {
      const [row] = await throttlesOf(accountId);
      expect(row).toMatchObject({ signal, requestsPerMinute: throttle.requestsPerMinute, lifted: false });
      expect(Date.parse(row.endsAt) - Date.parse(row.beganAt)).toBe(throttle.minutes * 60_000);
    }
    const before = await throttlesOf(refusing);
    expect(await run()).toBe(0);
    expect(await throttlesOf(refusing)).toEqual(before);
  });

  test("leaves a key at its own rate limit alone", async () => {
    const { accountId } = await newPerson();
    const { keyId } = await newKey(accountId, { requestsPerMinute: 30 });
    await addCalls(accountId, keyId, 30, 200, Array.from({ length: minutes - 1 }, (_, index) => index + 1));
    await run();
    expect(await throttlesOf(accountId)).toEqual([]);
  });

  test("is lifted by an operator, in the audit log, and does not begin again for what was seen before (keep.audit)", async () => {
    const accountId = await personWith(callsMin, callsMin);
    await run();
    const rows = await rowsOf(async () => expect((await admin.post("/abuse/lift", { accountId })).status).toBe(200));
    expect(rows).toEqual([{ action: "throttle_lifted", actor: "operator", operatorId: admin.operatorId, accountId }]);
    expect(await run()).toBe(0);
    expect(await throttlesOf(accountId)).toMatchObject([{ lifted: true }]);
    expect((await admin.post("/abuse/lift", { accountId })).status).toBe(404);
  });

  test("ends by itself, leaves nothing, and begins again for what comes after (keep.usage)", async () => {
    const { accountId } = await newPerson();
    await addThrottle(accountId);
    await admin.db.sql`update throttles set began_at = now() - interval '1 hour', ends_at = now() where account_id = ${accountId}`;
    expect(await throttlesOf(accountId)).toEqual([]);
    expect((await admin.post("/abuse/lift", { accountId })).status).toBe(404);
    await run();
    expect(await admin.db.sql`select from throttles where account_id = ${accountId}`).toHaveLength(0);
    const { keyId } = await newKey(accountId);
    await addCalls(accountId, keyId, callsMin, 400);
    await run();
    expect(await throttlesOf(accountId)).toHaveLength(1);
  });

  test("is one at a time, and is what its role may do only by the function (use.account)", async () => {
    const accountId = await personWith(callsMin, callsMin);
    const runs = await Promise.all([run(), run(), run()]);
    expect(runs.reduce((sum, throttled) => sum + throttled, 0)).toBe(1);
    expect(await throttlesOf(accountId)).toHaveLength(1);
    const sql = connect({ url: admin.db.urlFor("admin"), connections: 1 });
    await expect(sql`select from throttles`).rejects.toMatchObject({ code: "42501" });
    await expect(sql`insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${accountId}, 'left', 1, now())`).rejects.toMatchObject({ code: "42501" });
    await sql.end();
  });
});

describe("the audit log", () => {
  test("is read page by page, by account, operator, action and day (keep.audit)", async () => {
    const { accountId } = await newPerson();
    await newKey(accountId);
    const asked = { accountId, action: "key_created" };
    expect((await admin.post("/audit", asked)).body.rows).toEqual([
      {
        id: expect.any(String), at: expect.any(String), actor: "operator", action: "key_created", operator: "tester", accountId,
        objectId: expect.any(String), reason: null,
      },
    ]);
    const rows = await rowsOf(() => admin.post("/audit", { accountId }));
    expect(rows).toMatchObject([{ action: "account_viewed", accountId }]);
    expect((await admin.post("/audit", { operatorId: randomUUID() })).body.rows).toEqual([]);
    expect((await admin.post("/audit", { to: "2020-01-01" })).body.rows).toEqual([]);
    expect((await admin.post("/audit", { action: "nothing" })).status).toBe(400);

    for (let account = 0; account < 120; account += 1) await admin.post("/accounts", { email: `${randomUUID()}@example.com` });
    const seen: string[] = [];
    let before: object | null = null;
    do {
      const { body } = await admin.post("/audit", { action: "account_created", before });
      seen.push(...body.rows.map(({ id }: { id: string }) => id));
      before = body.next;
    } while (before);
    const all = await admin.db.sql<{ id: string }[]>`select id::text as id from audit_log where action = 'account_created' order by at desc, id desc`;
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(seen.length).toBeGreaterThan(120);
  });

  test("is exported so that it verifies, also beside its newest rows (keep.audit, use.audit)", async () => {
    const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
    const seal = createSeal({ open: () => connect({ url: admin.db.urlFor("audit-seal"), connections: 1 }), signer, log: () => {} });
    await newPerson();
    // More than a page of yesterday.
    await admin.db.sql`
      insert into audit_log (at, actor, action) select date_trunc('day', now(), 'UTC') - interval '1 hour', 'system', 'key_created' from generate_series(1, 1200)
    `;
    await seal(new Request("http://audit-seal/", { method: "POST" }));
    const [sealed] = await admin.db.sql<{ rows: number }[]>`select sum(rows)::integer as rows from audit_days`;
    await newPerson();
    const { text } = await admin.post("/audit/export");
    async function* lines() {
      yield* text.trimEnd().split("\n");
    }
    expect(await checkLog(lines(), [signer.key])).toMatchObject({ days: 2, rows: sealed!.rows, unsealed: 2, leftOut: undefined });
    const { body } = await admin.post("/audit/days");
    expect(body.days).toHaveLength(2);
    expect(body.actions).toContain("account_viewed");
  });
});

test("the evidence of retention shows each run with its steps and limits (keep.*)", async () => {
  const sql = connect({ url: admin.db.urlFor("purge"), connections: 1 });
  const [run] = await sql<{ id: string }[]>`select run_id as id from begin_purge_run(9)`;
  await sql`select delete_due_audit_days(${run!.id}, 356, 2, 10)`;
  await sql`select finish_purge_run(${run!.id}, 0)`;
  await sql.end();
  expect((await admin.post("/purge/runs")).body.runs[0]).toMatchObject({
    id: run!.id, state: "finished", earlyDays: 9, stepsLeft: 0, steps: [{ step: "audit_log", liveDays: 356, done: 0 }],
  });
});
