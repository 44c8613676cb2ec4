/** Top-ups as a caller and the database see them; what operators do with them is in admin-invoices.test.ts. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type Sql, sqlState } from "#shared/db.ts";
import { bothAtOnce, createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addKey } from "../support/accounts.ts";
import { type Call, newPayer, type Payer, publicBilling } from "../support/invoices.ts";

let db: TestDatabase;
let roles: { billing: Sql; keyAuth: Sql };
let call: Call;

beforeAll(async () => {
  db = await createTestDatabase();
  roles = { billing: connect({ url: db.urlFor("billing"), connections: 8 }), keyAuth: connect({ url: db.urlFor("key-auth"), connections: 2 }) };
  call = publicBilling(roles);
});
afterAll(async () => {
  await Promise.all([roles.billing.end(), roles.keyAuth.end()]);
  await db.close();
});

const topUp = (payer: Payer, rupiah: unknown, key: string | null = randomUUID()) =>
  call(payer, "POST", "/topups", { body: { amount_rupiah: rupiah }, ...(key === null ? {} : { key }) });
const message = ({ status, body }: Awaited<ReturnType<Call>>) => `${status} ${body.error.message}`;
const numbers = async () =>
  (await db.sql<{ number: number }[]>`select number from invoices order by number`).map(({ number }) => number);
const lastNumber = async () => (await db.sql<{ last: number }[]>`select last from invoice_numbers`)[0]?.last ?? 0;
const confirm = (id: string, micro: number) => db.sql`select admin_confirm_invoice(${id}, ${micro}, null)`;

async function request(sql: Sql, { accountId }: Payer, { key = randomUUID(), openMax = 5 } = {}): Promise<{ outcome: string; id: string }> {
  const [row] = await sql<{ outcome: string; id: string }[]>`
    select outcome, invoice_id as id from request_top_up(${accountId}, 50000, ${key}, 1100, 14, ${openMax}, 20)
  `;
  return row!;
}

/** As if it had been made this long ago. */
async function age(id: string, by: string): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`alter table invoices disable trigger invoices_guarded`;
    await sql`update invoices set issued_at = issued_at - ${by}::interval where id = ${id}`;
    await sql`alter table invoices enable trigger invoices_guarded`;
  });
}

describe("POST /v1/billing/topups", () => {
  test("makes an invoice with tax on top, and queues the mail that brings it (pay.alpha)", async () => {
    const payer = await newPayer(db.sql);
    const before = Date.now();
    const { status, body } = await topUp(payer, 100_000);
    expect(status).toBe(201);
    expect(body).toEqual({
      object: "invoice",
      id: expect.any(String),
      number: `INV-${new Date(Date.now() + 7 * 3_600_000).getUTCFullYear()}-${String(await lastNumber()).padStart(6, "0")}`,
      state: "open",
      issued_at: expect.any(String),
      due_at: new Date(Date.parse(body.issued_at) + 14 * 86_400_000).toISOString(),
      currency: "IDR",
      credit: "100000.000000",
      ppn_percent: "11",
      ppn: "11000.000000",
      total: "111000.000000",
      paid_at: null,
      payment: {
        method: "bank_transfer",
        bank: "Bank Uji",
        account_number: "1234567890",
        account_holder: "PT Penjual Contoh",
        reference: body.number,
      },
    });
    expect(Math.abs(Date.parse(body.issued_at) - before)).toBeLessThan(60_000);
    const mails = await db.sql`select template, object_id from outbox where account_id = ${payer.accountId}`;
    expect([...mails]).toEqual([{ template: "invoice", object_id: body.id }]);
    expect((await call(payer, "GET", `/invoices/${body.id}`)).body).toEqual(body);
  });

  test("answers the same for the same key, with one invoice and one mail, however many come at once", async () => {
    const payer = await newPayer(db.sql);
    const [key, otherKey] = [randomUUID(), randomUUID()];
    const before = await lastNumber();
    const answers = await Promise.all(Array.from({ length: 8 }, () => topUp(payer, 50_000, key)));
    for (const answer of answers) expect([answer.status, answer.body]).toEqual([201, answers[0]!.body]);
    expect(await lastNumber()).toBe(before + 1);
    expect(await db.sql`select from outbox where account_id = ${payer.accountId}`).toHaveLength(1);
    expect(await bothAtOnce(db.sql, (sql) => request(sql, payer, { key: otherKey }))).toEqual(Array(2).fill({ outcome: "made", id: expect.any(String) }));
    expect(await lastNumber()).toBe(before + 2);
    // After its end too: a retry makes no second one.
    await call(payer, "POST", `/invoices/${answers[0]!.body.id}/cancel`);
    expect((await topUp(payer, 50_000, key)).body).toEqual({ ...answers[0]!.body, state: "cancelled" });
  });

  test("refuses the key with another amount (409); the same key of another account is its own", async () => {
    const [payer, other] = [await newPayer(db.sql), await newPayer(db.sql)];
    const key = randomUUID();
    const { body } = await topUp(payer, 50_000, key);
    expect(message(await topUp(payer, 50_001, key))).toBe(
      "409 Cannot make invoice: this Idempotency-Key came with another amount before; take a new one",
    );
    const others = await topUp(other, 50_001, key);
    expect(others.status).toBe(201);
    expect(others.body.id).not.toBe(body.id);
  });

  test.each([
    [49_999, "must be whole rupiah, from 50000 to 10000000"],
    [10_000_001, "must be whole rupiah, from 50000 to 10000000"],
    [50_000.5, "must be whole rupiah, from 50000 to 10000000"],
    ["50000", "must be whole rupiah, from 50000 to 10000000"],
    [-50_000, "must be whole rupiah, from 50000 to 10000000"],
    [null, "must be whole rupiah, from 50000 to 10000000"],
  ])("says what is wrong with an amount of %j", async (rupiah, words) => {
    const payer = await newPayer(db.sql);
    const answer = await topUp(payer, rupiah);
    expect(message(answer)).toBe(`400 Cannot use body: amount_rupiah ${words}`);
    expect(answer.body.error.param).toBe("amount_rupiah");
    expect(await db.sql`select from invoices where account_id = ${payer.accountId}`).toEqual([]);
  });

  test("takes the smallest and the largest amount, and no other form of a request", async () => {
    const payer = await newPayer(db.sql);
    for (const rupiah of [50_000, 10_000_000]) expect((await topUp(payer, rupiah)).status).toBe(201);
    expect(message(await topUp(payer, 50_000, null))).toContain("400 Cannot make invoice: send a header Idempotency-Key with a new UUID");
    expect(message(await topUp(payer, 50_000, "again"))).toContain("send a header Idempotency-Key with a new UUID");
    const send = (body: unknown) => call(payer, "POST", "/topups", { body, key: randomUUID() });
    expect(message(await send("{"))).toBe("400 Cannot read body: it is not valid JSON");
    expect(message(await send([]))).toBe("400 Cannot use body: it is not an object");
    const withNote = await send({ amount_rupiah: 50_000, "a note of the caller": "secret words" });
    expect(message(withNote)).toBe("400 Cannot use body: it has a field that this route does not know");
    expect(JSON.stringify(withNote.body)).not.toMatch(/note|secret/);
  });

  test("needs the scope billing", async () => {
    const { accountId } = await newPayer(db.sql);
    const { key } = await addKey(db.sql, accountId);
    const answer = await call({ key }, "POST", "/topups", { body: { amount_rupiah: 50_000 }, key: randomUUID() });
    expect(message(answer)).toContain("403 Cannot use billing: the key lacks the scope billing");
  });

  test("allows 5 unpaid ones, also to many requests at once; one that is paid or cancelled makes room", async () => {
    const payer = await newPayer(db.sql);
    const answers = await Promise.all(Array.from({ length: 8 }, () => topUp(payer, 50_000)));
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(5);
    const other = await newPayer(db.sql);
    expect((await bothAtOnce(db.sql, (sql) => request(sql, other, { openMax: 1 }))).map(({ outcome }) => outcome)).toEqual(["made", "too_many_open"]);
    expect(message(answers.find(({ status }) => status !== 201)!)).toBe(
      "409 Cannot make invoice: 5 are unpaid; pay one, or cancel one you do not need",
    );
    await call(payer, "POST", `/invoices/${made[0]!.body.id}/cancel`);
    expect((await topUp(payer, 50_000)).status).toBe(201);
    await confirm(made[1]!.body.id, 55_500_000_000);
    expect((await topUp(payer, 50_000)).status).toBe(201);
    expect((await topUp(payer, 50_000)).status).toBe(409);
  });

  test("makes 20 a day for an account, cancelled ones included: each is a mail", async () => {
    const payer = await newPayer(db.sql);
    const ids: string[] = [];
    for (let made = 0; made < 20; made += 1) {
      const { status, body } = await topUp(payer, 50_000);
      expect(status).toBe(201);
      ids.push(body.id);
      await call(payer, "POST", `/invoices/${body.id}/cancel`);
    }
    const refused = await topUp(payer, 50_000);
    expect(message(refused)).toBe("429 Cannot make invoice: 20 were made within a day; try again tomorrow");
    expect(refused.headers.get("retry-after")).toBe("3600");
    await age(ids[0]!, "1 day");
    expect((await topUp(payer, 50_000)).status).toBe(201);
  });

  test("makes none for a closed account, nor for one that is being closed", async () => {
    const payer = await newPayer(db.sql);
    const [, asked] = await bothAtOnce<unknown>(db.sql, async (sql, second) => {
      if (second) return request(sql, payer).catch(sqlState);
      await sql`update accounts set status = 'closed', closed_at = now() where id = ${payer.accountId}`;
    });
    expect(asked).toBe("EP404");
    expect((await topUp(payer, 50_000)).status).toBe(401);
  });
});

describe("an invoice's number", () => {
  test("has no gap, whatever comes at once and whatever is rolled back; later numbers are issued later", async () => {
    const payers = await Promise.all(Array.from({ length: 12 }, () => newPayer(db.sql)));
    const before = await lastNumber();
    await Promise.all(
      payers.map(async (payer, index) => {
        if (index % 3 !== 0) return topUp(payer, 50_000);
        const undone = roles.billing.begin(async (sql) => {
          await request(sql as unknown as Sql, payer);
          throw new Error("undone");
        });
        return expect(undone).rejects.toThrow("undone");
      }),
    );
    expect(await lastNumber()).toBe(before + 8);
    expect(await numbers()).toEqual(Array.from({ length: before + 8 }, (_, index) => index + 1));
    const [row] = await db.sql<{ ordered: boolean }[]>`
      select bool_and(later) as ordered from (select issued_at > lag(issued_at) over (order by number) as later from invoices where number > ${before}) as i
    `;
    expect(row!.ordered).toBe(true);
  });

  test("is issued by the clock behind the lock: who began first but numbered second is later", async () => {
    const [first, second] = [await newPayer(db.sql), await newPayer(db.sql)];
    const begun = await db.sql.reserve();
    await begun`begin`;
    await request(db.sql, first);
    await request(begun, second);
    await begun`commit`;
    begun.release();
    const issued = await db.sql<{ accountId: string }[]>`
      select account_id as "accountId" from invoices where account_id in ${db.sql([first.accountId, second.accountId])} order by issued_at
    `;
    const numbered = await db.sql<{ accountId: string }[]>`
      select account_id as "accountId" from invoices where account_id in ${db.sql([first.accountId, second.accountId])} order by number
    `;
    expect([...issued]).toEqual([...numbered]);
  });

  test("counts in the year of Jakarta, and begins with 1 in each", async () => {
    const years = await db.sql`
      select invoice_year('2026-12-31 16:59:59.999+00') as before, invoice_year('2026-12-31 17:00:00+00') as after
    `;
    expect([...years]).toEqual([{ before: 2026, after: 2027 }]);
    const row = (year: number) => db.sql`
      insert into invoices (account_id, year, number, credit_micro, ppn_basis_points, ppn_micro, issued_at, due_at, idempotency_key)
      values (${randomUUID()}, ${year}, 1, 1000000, 0, 0, '2019-12-31 17:00:00+00', '2020-02-01', ${randomUUID()})
    `;
    expect(await row(2019).catch(sqlState)).toBe("23514");
    await row(2020);
    expect(await row(2020).catch(sqlState)).toBe("23505");
    await db.sql`delete from invoices where year = 2020`;
  });

  test("is not given again when the invoice is deleted", async () => {
    const { body } = await topUp(await newPayer(db.sql), 50_000);
    await db.sql`delete from invoices where id = ${body.id}`;
    const next = await topUp(await newPayer(db.sql), 50_000);
    expect(next.body.number.slice(-6)).toBe(String(Number(body.number.slice(-6)) + 1).padStart(6, "0"));
  });
});

describe("PPN", () => {
  test("is rounded once, half up, to whole rupiah, at any rate (property)", async () => {
    const { accountId } = await newPayer(db.sql);
    await fc.assert(
      fc.asyncProperty(fc.bigInt(1n, 1_000_000_000n), fc.integer({ min: 0, max: 9_999 }), async (rupiah, basisPoints) => {
        await db.sql`select request_top_up(${accountId}, ${rupiah}, ${randomUUID()}, ${basisPoints}, 14, 1000000, 1000000)`;
        const [row] = await db.sql<{ credit: bigint; ppn: bigint; rate: number }[]>`
          select credit_micro as credit, ppn_micro as ppn, ppn_basis_points as rate from invoices
          where account_id = ${accountId} order by id desc limit 1
        `;
        expect(row!.credit).toBe(rupiah * 1_000_000n);
        expect(row!.rate).toBe(basisPoints);
        // Twice the error, in ten-thousandths of a rupiah: at most half a rupiah, and where it is half, upwards.
        const error = 2n * (row!.ppn / 1_000_000n) * 10_000n - 2n * rupiah * BigInt(basisPoints);
        expect(row!.ppn % 1_000_000n).toBe(0n);
        expect(error > -10_000n && error <= 10_000n).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    [50_005, 1_100, 5_501],
    [50_004, 1_100, 5_500],
    [50_050, 1_100, 5_506],
    [50_000, 0, 0],
    [50_000, 250, 1_250],
  ])("of %s rupiah at %s basis points is %s rupiah", async (rupiah, ppnBasisPoints, ppn) => {
    const payer = await newPayer(db.sql);
    const { body } = await publicBilling(roles, { ppnBasisPoints })(payer, "POST", "/topups", { body: { amount_rupiah: rupiah }, key: randomUUID() });
    expect(body).toMatchObject({ ppn: `${ppn}.000000`, total: `${rupiah + ppn}.000000`, ppn_percent: String(ppnBasisPoints / 100) });
  });
});

describe("POST /v1/billing/invoices/{id}/cancel", () => {
  test("cancels once, takes back the mail that waits, and leaves a paid one (409)", async () => {
    const payer = await newPayer(db.sql);
    const { body: invoice } = await topUp(payer, 50_000);
    const path = `/invoices/${invoice.id}/cancel`;
    for (let times = 0; times < 2; times += 1) {
      expect(await call(payer, "POST", path)).toMatchObject({ status: 200, body: { ...invoice, state: "cancelled" } });
    }
    expect(await db.sql`select from outbox where account_id = ${payer.accountId}`).toEqual([]);
    const { body: paid } = await topUp(payer, 50_000);
    await confirm(paid.id, 55_500_000_000);
    expect(message(await call(payer, "POST", `/invoices/${paid.id}/cancel`))).toBe(
      "409 Cannot cancel invoice: it is paid; write to hello@epithre.com for a refund",
    );
  });
});

describe("GET /v1/billing/invoices", () => {
  test("lists the account's own, newest first, page by page", async () => {
    const payer = await newPayer(db.sql);
    const made: string[] = [];
    for (let count = 0; count < 5; count += 1) made.unshift((await topUp(payer, 50_000 + count)).body.id);
    await topUp(await newPayer(db.sql), 50_000);
    const whole = await call(payer, "GET", "/invoices");
    expect(whole.body).toMatchObject({ object: "list", has_more: false, next_cursor: null });
    expect(whole.body.data.map(({ id }: any) => id)).toEqual(made);
    expect((await call(payer, "GET", "/invoices?limit=5")).body).toEqual(whole.body);
    const seen: string[] = [];
    for (let cursor = "", more = true; more; ) {
      const { body } = await call(payer, "GET", `/invoices?limit=2${cursor}`);
      seen.push(...body.data.map(({ id }: any) => id));
      more = body.has_more;
      expect(body.next_cursor).toBe(more ? seen.at(-1) : null);
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(seen).toEqual(made);
  });

  test.each([
    ["limit=0", "limit must be a number from 1 to 100"],
    ["limit=101", "limit must be a number from 1 to 100"],
    ["limit=x", "limit must be a number from 1 to 100"],
    ["cursor=x", "cursor must be next_cursor of the page before"],
    ["state=open", "it has a field that this route does not know"],
  ])("says what is wrong with ?%s", async (query, words) => {
    expect(message(await call(await newPayer(db.sql), "GET", `/invoices?${query}`))).toBe(`400 Cannot use query: ${words}`);
  });

  test("shows, cancels and prints nobody an invoice of another account (404)", async () => {
    const [owner, other] = [await newPayer(db.sql), await newPayer(db.sql)];
    const { body: invoice } = await topUp(owner, 50_000);
    const ask = [["GET", ""], ["GET", ".pdf"], ["POST", "/cancel"]] as const;
    for (const [method, end] of ask) {
      for (const id of [invoice.id, randomUUID(), "x", "%00"]) {
        const answer = await call(other, method, `/invoices/${id}${end}`);
        expect(message(answer)).toBe("404 Cannot find invoice: the account has none of this id; see GET /v1/billing/invoices");
      }
    }
    expect((await call(owner, "GET", `/invoices/${invoice.id}`)).body.state).toBe("open");
  });
});

describe("the invoices table", () => {
  test("takes one end for each invoice, and no other change; a paid one stays with its event (keep.billing)", async () => {
    const payer = await newPayer(db.sql);
    const { body: open } = await topUp(payer, 50_000);
    const { body: paid } = await topUp(payer, 50_000);
    await confirm(paid.id, 55_500_000_000);
    expect(await db.sql`update invoices set credit_micro = 1000000 where id = ${open.id}`.catch(sqlState)).toBe("EP409");
    expect(await db.sql`update invoices set state = 'open', paid_at = null, billing_event_id = null where id = ${paid.id}`.catch(sqlState)).toBe("EP409");
    expect(await db.sql`update invoices set state = 'paid' where id = ${open.id}`.catch(sqlState)).toBe("23514");
    expect(await db.sql`delete from invoices where id = ${paid.id}`.catch(sqlState)).toBe("EP409");
    expect(await db.sql`truncate invoices`.catch(sqlState)).toBe("EP409");
  });

  // That billing may read it, and nobody write: test/policy.test.ts.
  test("leads billing to nobody else's rows, and no other function to it", async () => {
    for (const attempt of [
      () => roles.billing`select * from persons`,
      () => roles.billing`select * from invoice_numbers`,
      () => roles.billing`select admin_confirm_invoice(${randomUUID()}, 1, null)`,
      () => roles.billing`select grant_signup_credit(${randomUUID()}, 1)`,
      () => roles.billing`select post_taxed_event(${randomUUID()}, 'top_up', 1, 0, 'bank_transfer', ${randomUUID()})`,
      () => roles.keyAuth`select * from invoices`,
      () => roles.keyAuth`select * from invoice_recipient(${randomUUID()})`,
    ]) {
      expect(await attempt().catch(sqlState)).toBe("42501");
    }
  });
});
