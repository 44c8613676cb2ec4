/** What an operator does, for tests: through the admin function's own API. */
import { randomUUID } from "node:crypto";
import { scopes } from "#shared/policy.ts";

export interface KeyOptions {
  scopes?: readonly (typeof scopes)[number][];
  models?: string[] | null;
  requestsPerMinute?: number | null;
  tokensPerMinute?: number | null;
  expiresAtMs?: number | null;
  monthlyBudgetMicro?: number | string | null;
}

export interface Admin {
  createAccount(email: string): Promise<{ accountId: string }>;
  createKey(accountId: string, options?: KeyOptions): Promise<{ keyId: string; key: string }>;
  /** Sets these limits of a key and no other. */
  changeLimits(keyId: string, limits: Omit<KeyOptions, "scopes">): Promise<void>;
  revokeKey(keyId: string): Promise<void>;
  suspend(accountId: string): Promise<void>;
  /** The operator has seen the transfer of an invoice. */
  confirmInvoice(invoiceId: string, receivedRupiah: number): Promise<{ eventId: string }>;
  enableModel(id: string, enabled: boolean): Promise<void>;
  /** A top-up, in micro-rupiah. */
  credit(accountId: string, amountMicro: number): Promise<void>;
  /** A price of this model, in force at once. */
  price(model: string, micro: { inputMicro: number; outputMicro: number }): Promise<void>;
}

export function createAdmin({ admin }: { admin: Record<string, string> }): Admin {
  async function post(path: string, body: unknown): Promise<any> {
    const response = await fetch(`${admin.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${admin.token}` },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Cannot do what the test asked of admin: ${path} answers ${response.status} ${text.slice(0, 300)}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  return {
    createAccount: (email) => post("/accounts", { email, name: "Test" }),
    createKey(accountId, options = {}) {
      const all = { scopes, models: null, requestsPerMinute: null, tokensPerMinute: null, expiresAtMs: null };
      return post("/keys", { accountId, name: "test", ...all, ...options });
    },
    changeLimits: (keyId, limits) => post("/keys/limits", { keyId, ...limits }),
    revokeKey: (keyId) => post("/keys/revoke", { keyId }),
    enableModel: (id, enabled) => post("/models/enable", { id, enabled }),
    suspend: (accountId) => post("/accounts/suspend", { accountId }),
    confirmInvoice: (invoiceId, receivedRupiah) => post("/invoices/confirm", { invoiceId, receivedRupiah }),
    credit: (accountId, amountMicro) =>
      post("/credits", { accountId, kind: "top_up", amountMicro: String(amountMicro), reason: "bank_transfer", idempotencyKey: randomUUID() }),
    price: (model, { inputMicro, outputMicro }) =>
      post("/prices", { model, inputMicro, cachedInputMicro: inputMicro, outputMicro, imageMicro: 0 }),
  };
}
