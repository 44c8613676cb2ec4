/**
 * Replicas of the proxy with a billing of their own, whose leases live for a few seconds, and calls that cost exactly
 * their worst case: money for ten of them is money for ten calls.
 */
import { newCustomer, type Customer } from "./shared-stack.ts";
import { startReplica, type Replica } from "./replica.ts";
import { startStack, type OwnedStack } from "./stack.ts";
import { chatBody, inParallel, send, type Outcome } from "./traffic.ts";
import { waitFor } from "./wait.ts";

const model = "simulated-chat";
/** Only what is generated costs, and a call generates all that it may: its cost is its hold. */
const outputMicro = 1_000_000;
const tokens = 20;
/** Micro-rupiah that one call holds, and costs. */
export const worstCaseMicro = outputMicro * tokens;

export interface LeaseStage {
  stack: OwnedStack;
  leaseTtlMs: number;
  /** Starts another replica; `billingUrl` is where it asks for leases. */
  startProxy(billingUrl?: string): Promise<Replica>;
  billing: Replica;
  /** Accounts with money for so many calls each, whose keys these replicas know. */
  customersWith(calls: number, count: number, replicas: Replica[]): Promise<Customer[]>;
  stop(): Promise<void>;
}

export async function startLeaseStage(leaseTtlMs: number): Promise<LeaseStage> {
  const stack = await startStack();
  await stack.operator.price(model, { inputMicro: 0, outputMicro });
  const billing = await startReplica(stack, "billing", { lease_ttl_ms: String(leaseTtlMs) });
  const replicas: Replica[] = [];
  return {
    stack,
    leaseTtlMs,
    billing,
    async startProxy(billingUrl = billing.url) {
      const replica = await startReplica(stack, "proxy", { billing_url: billingUrl });
      replicas.push(replica);
      return replica;
    },
    async customersWith(calls, count, knownTo) {
      const customers = await inParallel(Array.from({ length: count }), 8, () => newCustomer(stack, {}, calls * worstCaseMicro));
      await Promise.all(knownTo.flatMap((replica) => customers.map((customer) => isKnownTo(replica, customer))));
      return customers;
    },
    async stop() {
      for (const replica of replicas) {
        replica.signal("SIGCONT");
        replica.signal("SIGKILL");
        await replica.ended;
      }
      await billing.stop();
      await stack.stop();
    },
  };
}

export interface CallOptions {
  stream?: boolean;
  /** Milliseconds before each token; none: the answer comes at once. */
  intervalMs?: number;
}

/** A call that costs its worst case. */
export function callWorstCase({ url }: Pick<Replica, "url">, { key }: Customer, { stream = false, intervalMs }: CallOptions = {}): Promise<Outcome> {
  const pace = intervalMs === undefined ? "" : ` interval_ms=${intervalMs}`;
  return send({ url, key, body: chatBody(`[[simulate tokens=${tokens}${pace}]]`, { max_tokens: tokens, ...(stream ? { stream } : {}) }) });
}

async function isKnownTo(replica: Replica, { key }: Customer): Promise<void> {
  await waitFor("the key to be known", async () => {
    const response = await fetch(`${replica.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    return response.status === 200;
  });
}

/** The account's money as it lies in the database now, in micro-rupiah. */
export interface Money {
  available: number;
  balance: number;
  charged: number;
  settled: number;
}

export async function moneyOf({ sql }: OwnedStack, { accountId }: Customer): Promise<Money> {
  const [row] = await sql<{ available: bigint; balance: bigint; charged: bigint; settled: bigint }[]>`
    select
      credited_micro - consumed_micro - leased_micro as available,
      (credited_micro - consumed_micro
        - coalesce((select sum(consumed_micro) from leases l where l.account_id = b.account_id), 0))::bigint as balance,
      coalesce((select sum(cost_micro) from usage_events u where u.account_id = b.account_id), 0)::bigint as charged,
      (select count(*) from usage_events u where u.account_id = b.account_id and cost_micro > 0) as settled
    from balances b where account_id = ${accountId}
  `;
  return Object.fromEntries(Object.entries(row!).map(([name, value]) => [name, Number(value)])) as unknown as Money;
}
