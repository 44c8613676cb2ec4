/** Invoices for tests: the settings of a seller whom nobody is, the public routes as a caller meets them, a PDF as text. */
import { randomUUID } from "node:crypto";
import { extractText, getDocumentProxy } from "unpdf";
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import type { Sql } from "#shared/db.ts";
import type { InvoiceSettings } from "../../functions/billing/invoices.ts";
import { bankTransfer } from "../../functions/billing/payments.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { findVerdicts } from "../../functions/key-auth/queries.ts";
import { VerdictsAnswer } from "../../functions/key-auth/schema.ts";
import { addKey } from "./accounts.ts";

export const invoiceSettings: InvoiceSettings = {
  seller: { name: "PT Penjual Contoh", address: "Jalan Uji 7, Jakarta", npwp: "01.234.567.8-901.234" },
  payment: bankTransfer({ bank: "Bank Uji", accountNumber: "1234567890", accountHolder: "PT Penjual Contoh" }),
  ppnBasisPoints: 1_100,
  minRupiah: 50_000,
  maxRupiah: 10_000_000,
  dueDays: 14,
};

export interface Payer {
  accountId: string;
  email: string;
  key: string;
}

/** A person with an account and a key that may use billing. */
export async function newPayer(sql: Sql, name: string | null = "Siti Contoh"): Promise<Payer> {
  const email = `${randomUUID()}@example.com`;
  const [account] = await sql<{ id: string }[]>`select admin_create_account(${email}, ${name}) as id`;
  const accountId = account!.id;
  const { key, keyId } = await addKey(sql, accountId);
  await sql`update api_keys set scopes = array['billing'] where id = ${keyId}`;
  await sql`delete from outbox where account_id = ${accountId}`;
  return { accountId, email, key };
}

/** One invoice in each state. */
export async function addInvoices(sql: Sql, accountId: string): Promise<{ open: string; paid: string; cancelled: string }> {
  const request = async () => {
    const [row] = await sql<{ id: string }[]>`
      select invoice_id as id from request_top_up(${accountId}, 100000, ${randomUUID()}, 1100, 14, 5, 20)
    `;
    return row!.id;
  };
  const [open, paid, cancelled] = [await request(), await request(), await request()];
  await sql`select admin_confirm_invoice(${paid}, 111000000000, null)`;
  await sql`select cancel_invoice(${accountId}, ${cancelled})`;
  return { open, paid, cancelled };
}

/** An invoice of some account that was due this long ago, in this state; answers its id. */
export async function addUnpaidInvoice(sql: Sql, age: string, state: "open" | "cancelled" = "open"): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into invoices (account_id, year, number, credit_micro, ppn_basis_points, ppn_micro, issued_at, due_at, state, idempotency_key)
    select
      ${randomUUID()}, invoice_year(due), (select coalesce(max(number), 0) + 1 from invoices), 1000000, 0, 0, due, due, ${state},
      ${randomUUID()}
    from (select now() - ${age}::interval as due) as d
    returning id
  `;
  return row!.id;
}

export interface Answer {
  status: number;
  headers: Headers;
  bytes: Uint8Array;
  body: any;
}

export type Call = (payer: Pick<Payer, "key">, method: "GET" | "POST", path: string, given?: { body?: unknown; key?: string }) => Promise<Answer>;

/** The public routes of billing on its own role, with key-auth behind them without the HTTP between. */
export function publicBilling(roles: { billing: Sql; keyAuth: Sql }, settings: Partial<InvoiceSettings> = {}): Call {
  const post = async (_path: string, { hashes }: any): Promise<any> => ({ verdicts: await findVerdicts(roles.keyAuth, hashes) });
  const accountOf = createAccountOf({ keyAuth: { post }, answer: VerdictsAnswer, scope: "billing", task: "use billing" });
  const database = { run: (work: (sql: Sql) => Promise<any>) => work(roles.billing), close: async () => {} };
  const handler = createBillingPages({ accountOf, database, statementDatabase: database, clock: systemClock, invoices: { ...invoiceSettings, ...settings } });
  return async function call({ key }, method, path, given = {}) {
    const headers = { authorization: `Bearer ${key}`, ...(given.key === undefined ? {} : { "idempotency-key": given.key }) };
    const body = given.body === undefined ? {} : { body: typeof given.body === "string" ? given.body : JSON.stringify(given.body) };
    const response = await handler(new Request(`http://billing/v1/billing${path}`, { method, headers, ...body }));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    return { status: response.status, headers: response.headers, bytes, body: isJson ? JSON.parse(Buffer.from(bytes).toString()) : undefined };
  };
}

/** All that a PDF says, with single spaces. */
export async function readPdf(bytes: Uint8Array): Promise<string> {
  const { text } = await extractText(await getDocumentProxy(new Uint8Array(bytes)), { mergePages: true });
  return text.replaceAll(/\s+/g, " ");
}
