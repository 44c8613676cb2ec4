import fc from "fast-check";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type Sql } from "#shared/db.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { newPayer, publicBilling } from "../support/invoices.ts";

/** The module as the browser loads it: JavaScript without types. */
const page: any = await import(new URL("../../functions/dashboard/web/amount.js", import.meta.url).href);

describe("readRupiah()", () => {
  test.each([
    ["100000", 100_000],
    [" 100.000 ", 100_000],
    ["100,000", 100_000],
    ["1 000 000", 1_000_000],
    ["Rp 250.000", 250_000],
    ["rp.250.000", 250_000],
    ["0", 0],
  ])("reads %j as whole rupiah", (typed, amount) => {
    expect(page.readRupiah(typed)).toBe(amount);
  });

  test.each(["", "Rp", "abc", "-5", "1e5", "0x10", "100.50", "100,00", "100.000,00", "1.000,000", "10.0000", "1000.000", "9".repeat(20)])(
    "reads no amount in %j, which could mean another one",
    (typed) => {
      expect(page.readRupiah(typed)).toBeUndefined();
    },
  );

  test("reads back what the page writes, in each language", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_000_000_000 }), fc.constantFrom("en", "id"), (amount, language) => {
        const currency = { style: "currency", currency: "IDR", currencyDisplay: "narrowSymbol", minimumFractionDigits: 0 } as const;
        expect(page.readRupiah(new Intl.NumberFormat(language).format(amount))).toBe(amount);
        expect(page.readRupiah(new Intl.NumberFormat(language, currency).format(amount))).toBe(amount);
      }),
    );
  });
});

test("heldOf() is the exact difference, to the micro-rupiah", () => {
  expect(page.heldOf({ amount: "99999.123456", available: "99959.123455" })).toBe("40.000001");
  expect(page.heldOf({ amount: "12345678901234.000001", available: "12345678901234.000000" })).toBe("0.000001");
  expect(page.heldOf({ amount: "5.000000", available: "5.000000" })).toBe("0.000000");
});

test("plainAmount() is what a bank's form takes", () => {
  expect(["111000.000000", "1110000.000000"].map(page.plainAmount)).toEqual(["111000", "1110000"]);
});

describe("createRequestKeys()", () => {
  test("keeps the key of an amount for its retries, whatever is asked in between, until its invoice is known", () => {
    const keys = page.createRequestKeys();
    const first = keys.keyFor(100_000);
    const other = keys.keyFor(250_000);
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([keys.keyFor(100_000), keys.keyFor(250_000)]).toEqual([first, other]);
    keys.answered(100_000);
    expect(keys.keyFor(100_000)).not.toBe(first);
    expect(keys.keyFor(250_000)).toBe(other);
    keys.clear();
    expect(keys.keyFor(250_000)).not.toBe(other);
  });
});

describe("what the page announces", () => {
  let db: TestDatabase;
  let billing: Sql;
  let keyAuth: Sql;

  beforeAll(async () => {
    db = await createTestDatabase();
    billing = connect({ url: db.urlFor("billing"), connections: 2 });
    keyAuth = connect({ url: db.urlFor("key-auth"), connections: 2 });
  });
  afterAll(async () => {
    await Promise.all([billing.end(), keyAuth.end()]);
    await db.close();
  });

  test.each([0, 250, 1_100, 1_199])("is the tax and the total of the invoice, at %i basis points", async (ppnBasisPoints) => {
    const call = publicBilling({ billing, keyAuth }, { ppnBasisPoints });
    const payer = await newPayer(db.sql);
    const { body: terms } = await call(payer, "GET", "/topups");
    for (const amount of [50_000, 50_020, 77_777, 999_995, 9_999_999]) {
      const { body: invoice } = await call(payer, "POST", "/topups", { key: randomUUID(), body: { amount_rupiah: amount } });
      const ppn = page.ppnOf(amount, terms.ppn_percent);
      expect([invoice.ppn, invoice.total].map(page.plainAmount)).toEqual([String(ppn), String(amount + ppn)]);
    }
  });

  test("are the terms of a top-up, to a key with the scope", async () => {
    const call = publicBilling({ billing, keyAuth }, { minRupiah: 10_000, maxRupiah: 20_000, ppnBasisPoints: 250, dueDays: 7 });
    const payer = await newPayer(db.sql);
    const terms = { object: "topup_terms", currency: "IDR", min_rupiah: 10_000, max_rupiah: 20_000, ppn_percent: "2.5", due_days: 7 };
    expect((await call(payer, "GET", "/topups")).body).toEqual(terms);
    await db.sql`update api_keys set scopes = array['chat'] where account_id = ${payer.accountId}`;
    expect((await call(payer, "GET", "/topups")).body.error.code).toBe("insufficient_permissions");
  });
});
