/** Accounts, prices and settlements for tests of the database, made directly as its owner. */
import { randomUUID } from "node:crypto";
import { uuidv7 } from "#shared/ids.ts";
import { generateKey, hashKey, keyPrefix } from "#shared/keys.ts";
import type { Sql } from "#shared/db.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";

export type BillingKind = "top_up" | "refund" | "signup_credit" | "adjustment";

/** An account with this much credit; 0 leaves it without a balance. */
export async function openAccount(sql: Sql, creditMicro: number | bigint = 0): Promise<string> {
  const [account] = await sql<{ id: string }[]>`insert into accounts default values returning id`;
  if (creditMicro > 0) await postEvent(sql, account!.id, { amountMicro: creditMicro });
  return account!.id;
}

export interface EventOptions {
  kind?: BillingKind;
  amountMicro: number | bigint;
  reason?: string;
  idempotencyKey?: string;
}

export async function postEvent(
  sql: Sql,
  accountId: string,
  { kind = "top_up", amountMicro, reason = "bank_transfer", idempotencyKey = randomUUID() }: EventOptions,
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    select post_billing_event(${accountId}, ${kind}, ${String(amountMicro)}::bigint, ${reason}, ${idempotencyKey}) as id
  `;
  return row!.id;
}

/** A chat model of this name with one price; answers the price's version. */
export async function addModel(sql: Sql, name: string): Promise<number> {
  await sql`select create_model(${name}, 'chat', 8192, 4096, 64, 0)`;
  const [row] = await sql<{ version: number }[]>`select create_price(${name}, now(), 5000, 1250, 20000, 0) as version`;
  return row!.version;
}

export async function addKey(sql: Sql, accountId: string): Promise<{ keyId: string; key: string; hash: string }> {
  const key = generateKey();
  const hash = hashKey(key);
  const [row] = await sql<{ id: string }[]>`
    insert into api_keys (account_id, hash, prefix, name, scopes)
    values (${accountId}, decode(${hash}, 'hex'), ${keyPrefix(key)}, 'test', array['chat', 'models'])
    returning id
  `;
  return { keyId: row!.id, key, hash };
}

/** An ended chat call that cost 1,000 micro-rupiah, unless told otherwise. */
export function settlement(given: Partial<Settlement> & Pick<Settlement, "accountId" | "leaseId">): Settlement {
  return {
    requestId: uuidv7(Date.now()),
    keyId: randomUUID(),
    model: "test-chat",
    endpoint: "chat.completions",
    priceVersion: 1,
    promptTokens: 12,
    cachedTokens: 0,
    completionTokens: 34,
    reasoningTokens: 0,
    images: 0,
    costMicro: 1_000,
    latencyMs: 56,
    status: 200,
    ...given,
  };
}

/** What the proxy sends instead when it has given up on an unknown outcome. */
export function voided(given: Settlement): Settlement {
  return { ...given, promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, images: 0, costMicro: 0, status: 503 };
}
