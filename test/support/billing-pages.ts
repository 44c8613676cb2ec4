/** The public routes of billing, with key-auth behind them but without the HTTP between. */
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { connect } from "#shared/db.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import type { Scope } from "#shared/policy.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { findVerdicts } from "../../functions/key-auth/queries.ts";
import { VerdictsAnswer } from "../../functions/key-auth/schema.ts";
import { addKey, openAccount } from "./accounts.ts";
import type { TestDatabase } from "./database.ts";
import { invoiceSettings } from "./invoices.ts";

export interface BillingPages {
  handler(request: Request): Promise<Response>;
  database: DatabasePool;
  /** One call; `key` goes along where given. */
  fetch(path: string, call?: { key?: string; method?: string; body?: unknown }): Promise<Response>;
  /** The same, as its status and what it answers in JSON. */
  ask(path: string, call?: { key?: string; method?: string; body?: unknown }): Promise<{ status: number; body: any }>;
  /** An account with credit and a key of one scope. */
  person(creditMicro: number, scope?: Scope): Promise<{ accountId: string; key: string }>;
  close(): Promise<void>;
}

export function createTestPages(db: TestDatabase): BillingPages {
  const database = createDatabasePool({ url: db.urlFor("billing"), log: () => {} });
  const keyAuth = connect({ url: db.urlFor("key-auth"), connections: 2 });
  const post = async (_path: string, { hashes }: any): Promise<any> => ({ verdicts: await findVerdicts(keyAuth, hashes) });
  const accountOf = createAccountOf({ keyAuth: { post }, answer: VerdictsAnswer, scope: "billing", task: "use billing" });
  const handler = createBillingPages({ accountOf, database, statementDatabase: database, clock: systemClock, invoices: invoiceSettings });

  const pages: BillingPages = {
    handler,
    database,
    fetch(path, { key, method = "GET", body } = {}) {
      const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
      const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
      return handler(new Request(`http://billing${path}`, { method, headers, body: text }));
    },
    async ask(path, call) {
      const response = await pages.fetch(path, call);
      return { status: response.status, body: await response.json() };
    },
    async person(creditMicro, scope = "billing") {
      const accountId = await openAccount(db.sql, creditMicro);
      const { key, keyId } = await addKey(db.sql, accountId);
      await db.sql`update api_keys set scopes = array[${scope}] where id = ${keyId}`;
      return { accountId, key };
    },
    async close() {
      await Promise.all([database.close(), keyAuth.end()]);
    },
  };
  return pages;
}
