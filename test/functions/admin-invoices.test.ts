/** The operator's side of top-ups: finding invoices, confirming transfers, signup credit. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { connect, type Sql } from "#shared/db.ts";
import { createHandler } from "../../functions/admin/handler.ts";
import { configShape } from "../../functions/admin/config.ts";
import { signupCreditMoments } from "../../functions/admin/schema.ts";
import { bothAtOnce, createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Call, newPayer, type Payer, publicBilling } from "../support/invoices.ts";
import { adminSettings, openTestSession } from "../support/operators.ts";

const signupMicro = 25_000_000_000n;
type Moment = (typeof signupCreditMoments)[number];

let db: TestDatabase;
let pool: DatabasePool;
let roles: { billing: Sql; keyAuth: Sql };
let call: Call;
let operatorToken: string;

beforeAll(async () => {
  db = await createTestDatabase();
  pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  operatorToken = await openTestSession(db);
  roles = { billing: connect({ url: db.urlFor("billing"), connections: 4 }), keyAuth: connect({ url: db.urlFor("key-auth"), connections: 2 }) };
  call = publicBilling(roles);
});
afterAll(async () => {
  await Promise.all([pool.close(), roles.billing.end(), roles.keyAuth.end()]);
  await db.close();
});

async function admin(path: string, body: unknown, after: Moment = "never", micro = signupMicro) {
  const handler = createHandler({ database: pool, ...adminSettings, signupCredit: { micro, after } });
  const headers = { authorization: `Bearer ${operatorToken}` };
  const response = await handler(new Request(`http://admin${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
  return { status: response.status, body: (await response.json()) as any };
}

const message = ({ status, body }: { status: number; body: any }) => `${status} ${body.error.message}`;

interface Invoice {
  id: string;
  number: string;
}

const invoiceOf = async (payer: Payer, rupiah = 100_000): Promise<Invoice> =>
  (await call(payer, "POST", "/topups", { body: { amount_rupiah: rupiah }, key: randomUUID() })).body;
const confirm = (invoiceId: string, receivedRupiah = 111_000, after?: Moment) => admin("/invoices/confirm", { invoiceId, receivedRupiah }, after);
const stateOf = async (payer: Payer, id: string) => (await call(payer, "GET", `/invoices/${id}`)).body.state;
const creditedMicro = async ({ accountId }: Payer) =>
  (await db.sql<{ credited: bigint }[]>`select credited_micro as credited from balances where account_id = ${accountId}`)[0]!.credited;
const mailOf = async ({ accountId }: Payer) =>
  [...(await db.sql`select template, object_id from outbox where account_id = ${accountId} order by id`)] as { template: string; object_id: string }[];
const auditOf = async ({ accountId }: Payer) =>
  (
    await db.sql<{ action: string; object: string }[]>`
      select l.action, l.object_id as object from audit_log l join accounts a on a.audit_alias = l.subject_alias
      where a.id = ${accountId} and l.action not in ('account_created', 'account_viewed') order by l.id
    `
  ).map(({ action, object }) => [action, object]);
const eventsOf = ({ accountId }: Payer) => db.sql`select id, kind, amount_micro, reason from billing_events where account_id = ${accountId} order by id`;

describe("/invoices/confirm", () => {
  test("pays the invoice: credit, tax in the ledger, receipt instead of the invoice's mail, and audit row (pay.alpha, keep.audit)", async () => {
    const payer = await newPayer(db.sql);
    const invoice = await invoiceOf(payer);
    expect(await mailOf(payer)).toEqual([{ template: "invoice", object_id: invoice.id }]);
    const { status, body } = await confirm(invoice.id);
    expect(status).toBe(200);
    expect([...(await eventsOf(payer))]).toEqual([{ id: body.eventId, kind: "top_up", amount_micro: 100_000_000_000n, reason: "bank_transfer" }]);
    expect(await creditedMicro(payer)).toBe(100_000_000_000n);
    const entries = await db.sql`
      select ledger_account, account_id, amount_micro from ledger_entries where event_id = ${body.eventId} order by ledger_account
    `;
    expect([...entries]).toEqual([
      { ledger_account: "customer", account_id: payer.accountId, amount_micro: 100_000_000_000n },
      { ledger_account: "bank", account_id: null, amount_micro: -111_000_000_000n },
      { ledger_account: "ppn_payable", account_id: null, amount_micro: 11_000_000_000n },
    ]);
    expect(await mailOf(payer)).toEqual([{ template: "receipt", object_id: invoice.id }]);
    expect(await auditOf(payer)).toEqual([["invoice_confirmed", invoice.id]]);
    expect((await call(payer, "GET", `/invoices/${invoice.id}`)).body).toMatchObject({ state: "paid", paid_at: expect.any(String) });
  });

  test("without tax posts two entries", async () => {
    const payer = await newPayer(db.sql);
    const { body: invoice } = await publicBilling(roles, { ppnBasisPoints: 0 })(payer, "POST", "/topups", { body: { amount_rupiah: 70_000 }, key: randomUUID() });
    const { body } = await confirm(invoice.id, 70_000);
    expect(await db.sql`select from ledger_entries where event_id = ${body.eventId}`).toHaveLength(2);
    expect(await creditedMicro(payer)).toBe(70_000_000_000n);
  });

  test("pays once and answers the same, however many operators confirm at once, and again later", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    const answers = await Promise.all(Array.from({ length: 8 }, () => confirm(id)));
    answers.push(await confirm(id));
    for (const answer of answers) expect(answer).toEqual({ status: 200, body: { eventId: answers[0]!.body.eventId } });
    expect(await creditedMicro(payer)).toBe(100_000_000_000n);
    expect(await eventsOf(payer)).toHaveLength(1);
    expect(await auditOf(payer)).toHaveLength(1);
    expect(await mailOf(payer)).toHaveLength(1);
  });

  test("refuses any other amount than the total, before and after it is paid (409)", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    const words =
      "409 Cannot confirm invoice: what was received is not its total, tax included; see /invoices/find, and settle the difference with the payer";
    for (const other of [100_000, 110_999, 111_001]) expect(message(await confirm(id, other))).toBe(words);
    expect(await stateOf(payer, id)).toBe("open");
    expect([await creditedMicro(payer), await auditOf(payer)]).toEqual([0n, []]);
    await confirm(id);
    expect(message(await confirm(id, 111_001))).toBe(words);
    expect(await creditedMicro(payer)).toBe(100_000_000_000n);
  });

  test("refuses a cancelled one, one of a closed account, and an unknown one, with words that say what to do", async () => {
    const payer = await newPayer(db.sql);
    const [{ id }, { id: left }] = [await invoiceOf(payer), await invoiceOf(payer)];
    await call(payer, "POST", `/invoices/${id}/cancel`);
    const words =
      "409 Cannot confirm invoice: it is cancelled, or its account closed; send the transfer back, or have the account ask for a new invoice";
    for (const received of [111_000, 1]) expect(message(await confirm(id, received))).toBe(words);
    await admin("/accounts/close", { accountId: payer.accountId });
    expect(message(await confirm(left))).toBe(words);
    expect(message(await confirm(randomUUID()))).toBe("404 Cannot confirm invoice: no invoice has this id");
    expect(await eventsOf(payer)).toEqual([]);
    expect((await mailOf(payer)).filter(({ template }) => template === "receipt")).toEqual([]);
  });

  test("and a cancelling at the same moment: one of both holds", async () => {
    for (let round = 0; round < 10; round += 1) {
      const payer = await newPayer(db.sql);
      const { id } = await invoiceOf(payer);
      const [confirmed, cancelled] = await Promise.all([confirm(id), call(payer, "POST", `/invoices/${id}/cancel`)]);
      expect([confirmed.status, cancelled.status].sort()).toEqual([200, 409]);
      expect(await creditedMicro(payer)).toBe(confirmed.status === 200 ? 100_000_000_000n : 0n);
      expect(await stateOf(payer, id)).toBe(confirmed.status === 200 ? "paid" : "cancelled");
    }
  });

  test("and the closing of its account at the same moment: credit never lands on a closed account", async () => {
    for (let round = 0; round < 10; round += 1) {
      const payer = await newPayer(db.sql);
      const { id } = await invoiceOf(payer);
      const [confirmed, closed] = await Promise.all([confirm(id), admin("/accounts/close", { accountId: payer.accountId })]);
      expect([confirmed.status, closed.status]).toEqual(confirmed.status === 200 ? [200, 402] : [409, 200]);
    }
  });

  test("keeps nothing of a confirmation whose audit row fails (keep.audit)", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    await db.sql`alter table audit_log add constraint broken check (action <> 'invoice_confirmed') not valid`;
    try {
      expect((await confirm(id)).status).toBeGreaterThanOrEqual(400);
    } finally {
      await db.sql`alter table audit_log drop constraint broken`;
    }
    expect([await stateOf(payer, id), await creditedMicro(payer)]).toEqual(["open", 0n]);
    expect(await mailOf(payer)).toEqual([{ template: "invoice", object_id: id }]);
  });

  test.each([0, -1, 1.5, "111000", 2_000_000_001])("takes whole rupiah, not %j", async (receivedRupiah) => {
    const answer = await admin("/invoices/confirm", { invoiceId: randomUUID(), receivedRupiah });
    expect(message(answer)).toContain("400 Cannot use body: field receivedRupiah");
  });
});

describe("/invoices/find", () => {
  test("finds one by its number, and an account's newest first", async () => {
    const payer = await newPayer(db.sql);
    const [first, second] = [await invoiceOf(payer), await invoiceOf(payer, 50_000)];
    await invoiceOf(await newPayer(db.sql));
    await confirm(first.id);
    const { body } = await admin("/invoices/find", { number: first.number });
    const found = { id: first.id, accountId: payer.accountId, number: first.number, state: "paid", totalRupiah: 111_000 };
    expect(body.invoices).toEqual([{ ...found, issuedAt: expect.any(String), dueAt: expect.any(String), paidAt: expect.any(String) }]);
    const all = await admin("/invoices/find", { accountId: payer.accountId });
    expect(all.body.invoices.map(({ id, paidAt }: any) => [id, paidAt !== null])).toEqual([[second.id, false], [first.id, true]]);
    expect((await admin("/invoices/find", { number: "INV-2026-999999" })).body).toEqual({ invoices: [] });
  });

  test("says which form a number has", async () => {
    for (const number of ["123", "INV-26-000123", "INV-2026-123", 7]) {
      expect((await admin("/invoices/find", { number })).status).toBe(400);
    }
    expect((await admin("/invoices/find", { number: "INV-2026-000001", accountId: randomUUID() })).status).toBe(400);
  });
});

describe("signup credit", () => {
  const credits = async (payer: Payer) => (await eventsOf(payer)).filter(({ kind }) => kind === "signup_credit");
  const grant = (payer: Payer, after: Moment, micro?: bigint) => admin("/signup-credits", { accountId: payer.accountId }, after, micro);

  test("with `operator` is given by one, once in the account's life, whatever the amount is by then (keep.audit)", async () => {
    const payer = await newPayer(db.sql);
    const answers = await Promise.all(Array.from({ length: 5 }, () => grant(payer, "operator")));
    answers.push(await grant(payer, "operator", 99_000_000n));
    for (const answer of answers) expect(answer).toEqual({ status: 200, body: { eventId: answers[0]!.body.eventId } });
    expect(await credits(payer)).toMatchObject([{ amount_micro: signupMicro, reason: "signup" }]);
    expect(await auditOf(payer)).toEqual([["billing_event_posted", answers[0]!.body.eventId]]);
    await confirm((await invoiceOf(payer)).id, 111_000, "operator");
    expect(await credits(payer)).toHaveLength(1);
  });

  test("with `first_transfer` comes with the first paid invoice, and with no other, also when two are confirmed at once", async () => {
    const payer = await newPayer(db.sql);
    const invoices = [await invoiceOf(payer), await invoiceOf(payer), await invoiceOf(payer)];
    expect((await grant(payer, "first_transfer")).status).toBe(409);
    expect(await credits(payer)).toEqual([]);
    await Promise.all(invoices.slice(0, 2).map(({ id }) => confirm(id, 111_000, "first_transfer")));
    await confirm(invoices[2]!.id, 111_000, "first_transfer");
    expect(await credits(payer)).toMatchObject([{ amount_micro: signupMicro }]);
    expect(await creditedMicro(payer)).toBe(325_000_000_000n);
    expect((await auditOf(payer)).map(([action]) => action).sort()).toEqual(["billing_event_posted", ...Array(3).fill("invoice_confirmed")]);
  });

  test("is audited when it is given, not again when its audit row has gone after a year (keep.audit)", async () => {
    const payer = await newPayer(db.sql);
    await grant(payer, "operator");
    await db.sql`alter table audit_log disable trigger audit_log_refuse_young_deletion`;
    await db.sql`delete from audit_log where subject_alias = (select audit_alias from accounts where id = ${payer.accountId})`;
    await db.sql`alter table audit_log enable trigger audit_log_refuse_young_deletion`;
    await grant(payer, "operator");
    expect(await auditOf(payer)).toEqual([]);
  });

  test.each(["verified_email", "never"] as const)("with `%s` comes neither from operators nor with a transfer", async (after) => {
    const payer = await newPayer(db.sql);
    expect(message(await grant(payer, after))).toBe(
      `409 Cannot grant signup credit: signup_credit_after is ${after}, so it is not for operators to give`,
    );
    await confirm((await invoiceOf(payer)).id, 111_000, after);
    expect(await credits(payer)).toEqual([]);
  });

  test("with `verified_email` is for the function that verifies: grant_signup_credit() gives it once", async () => {
    const payer = await newPayer(db.sql);
    const give = (sql: Sql) => sql<{ id: string }[]>`select grant_signup_credit(${payer.accountId}, 5) as id`;
    const given = await bothAtOnce(db.sql, give);
    given.push(await give(db.sql));
    expect(new Set(given.map(([row]) => row!.id)).size).toBe(1);
    expect(await creditedMicro(payer)).toBe(5n);
  });

  test("has no second way: posted by hand it is still once for each account (409)", async () => {
    const payer = await newPayer(db.sql);
    const credit = { accountId: payer.accountId, kind: "signup_credit", amountMicro: "5", reason: "signup", idempotencyKey: randomUUID() };
    expect((await admin("/credits", credit)).status).toBe(200);
    expect((await admin("/credits", credit)).status).toBe(200);
    expect(message(await admin("/credits", { ...credit, idempotencyKey: randomUUID() }))).toContain("or the account had its signup credit");
    const { body } = await grant(payer, "operator");
    expect([...(await credits(payer))]).toMatchObject([{ id: body.eventId, amount_micro: 5n }]);
  });

  test("is for open accounts: a closed one gets none (409), an unknown one neither (404)", async () => {
    const payer = await newPayer(db.sql);
    await admin("/accounts/close", { accountId: payer.accountId });
    expect(message(await grant(payer, "operator"))).toBe("409 Cannot grant signup credit: the account is closed for good");
    expect((await admin("/signup-credits", { accountId: randomUUID() }, "operator")).status).toBe(404);
  });

  test("is never where nothing is configured, and a moment that is none does not start", () => {
    expect(configShape.signupCreditAfter.schema.parse(undefined)).toBe("never");
    expect(configShape.signupCreditAfter.schema.safeParse("always").success).toBe(false);
    for (const moment of signupCreditMoments) expect(configShape.signupCreditAfter.schema.parse(moment)).toBe(moment);
  });
});
