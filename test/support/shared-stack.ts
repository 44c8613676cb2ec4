/** The stack that `shared-stack-setup.ts` started, and what a test of a whole call needs around it. */
import { randomUUID } from "node:crypto";
import OpenAI from "openai";
import { inject } from "vitest";
import type { KeyOptions } from "./admin-client.ts";
import { attach, type Stack } from "./stack.ts";
import { waitFor } from "./wait.ts";

export function sharedStack(): Stack {
  return attach(inject("stack"));
}

/** Micro-rupiah: ample for any test that is not about money. */
const ampleMicro = 1_000_000_000_000;

export interface Customer {
  accountId: string;
  keyId: string;
  key: string;
  /** OpenAI's own client with this key; it does not try again unless a test says so. */
  client: OpenAI;
}

/** A new account with credit and one key. */
export async function newCustomer(stack: Stack, options: KeyOptions = {}, creditMicro = ampleMicro): Promise<Customer> {
  const { accountId } = await stack.operator.createAccount(`${randomUUID()}@example.com`);
  if (creditMicro > 0) await stack.operator.credit(accountId, creditMicro);
  const { keyId, key } = await stack.operator.createKey(accountId, options);
  return { accountId, keyId, key, client: clientWith(stack, key) };
}

export function clientWith(stack: Stack, apiKey: string, more: ConstructorParameters<typeof OpenAI>[0] = {}): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${stack.url}/v1`, maxRetries: 0, ...more });
}

/** The usage events of an account, oldest first. */
export function usageOf({ sql }: Stack, accountId: string) {
  return sql`
    select u.id, u.key_id, m.name as model, u.endpoint, u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.images,
      u.cost_micro, u.price_version, u.latency_ms, u.status
    from usage_events u join models m on m.id = u.model_id
    where u.account_id = ${accountId} order by u.id`;
}

/** Micro-rupiah that the account has: billing events minus what was consumed, also out of open leases. */
export async function balanceOf({ sql }: Stack, accountId: string): Promise<bigint> {
  const [row] = await sql`
    select (credited_micro - consumed_micro
      - coalesce((select sum(consumed_micro) from leases where account_id = ${accountId}), 0))::bigint as micro
    from balances where account_id = ${accountId}`;
  return row!.micro as bigint;
}

/** Settles once no proxy call runs and no settlement waits. */
export async function settled(stack: Stack): Promise<void> {
  const port = stack.environmentOf("proxy").PORT;
  const idle = ["epithre_proxy_running_calls 0", "epithre_proxy_waiting_settlements 0"];
  await waitFor("the proxy to settle everything", async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/_/metrics`)).text();
    return idle.every((line) => text.includes(line));
  });
}
