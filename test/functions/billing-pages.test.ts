import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAccountOf } from "#shared/caller.ts";
import { connect, type Sql } from "#shared/db.ts";
import { generateKey } from "#shared/keys.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { findVerdicts } from "../../functions/key-auth/queries.ts";
import { VerdictsAnswer } from "../../functions/key-auth/schema.ts";
import { addKey, openAccount } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { invoiceSettings } from "../support/invoices.ts";

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

/** The pages, and key-auth behind them without the HTTP between. */
function pages() {
  const post = async (_path: string, { hashes }: any): Promise<any> => ({ verdicts: await findVerdicts(keyAuth, hashes) });
  const accountOf = createAccountOf({ keyAuth: { post }, answer: VerdictsAnswer, scope: "billing", task: "use billing" });
  return createBillingPages({ accountOf, invoices: invoiceSettings, database: { run: (work: (sql: Sql) => Promise<any>) => work(billing) } as any });
}

async function person(creditMicro: number, scope = "billing") {
  const accountId = await openAccount(db.sql, creditMicro);
  const { key, keyId } = await addKey(db.sql, accountId);
  await db.sql`update api_keys set scopes = array[${scope}] where id = ${keyId}`;
  return { accountId, key };
}

async function balance(key?: string) {
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
  const response = await pages()(new Request("http://billing/v1/billing/balance", { headers }));
  return { status: response.status, body: (await response.json()) as any };
}

describe("GET /v1/billing/balance", () => {
  test("answers the caller's own balance in rupiah", async () => {
    const { key } = await person(12_345_678);
    await person(99);
    expect((await balance(key)).body).toEqual({ object: "balance", currency: "IDR", amount: "12.345678", available: "12.345678" });
  });

  test("refuses a key that is missing, malformed, unknown, or lacks the scope", async () => {
    const { key } = await person(1, "chat");
    const codes = await Promise.all([undefined, "ep_short", generateKey(), key].map(async (each) => (await balance(each)).body.error.code));
    expect(codes).toEqual(["missing_api_key", "invalid_api_key", "invalid_api_key", "insufficient_permissions"]);
  });

  test("answers a suspended account too, not a closed one", async () => {
    const { accountId, key } = await person(1_000_000);
    await db.sql`update accounts set status = 'suspended' where id = ${accountId}`;
    expect((await balance(key)).status).toBe(200);
    await db.sql`update accounts set status = 'closed', closed_at = now() where id = ${accountId}`;
    expect((await balance(key)).status).toBe(401);
  });
});
