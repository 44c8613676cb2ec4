/** What keys with budgets may never do, whatever order grants, settlements, returns, expiries and new months come in. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { closeExpiredLeases } from "../../functions/billing/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { addKey, addModel, openAccount, settlement } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { grantLeases, syncLeases } from "../support/leases.ts";

const sequences = 250;
const stepsMax = 14;
const budgets = [700, 1_500];

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
const usageRecord = createDatabasePool({ url: database.urlFor("usage-record"), log: () => {} });
await addModel(owner, "test-chat");

afterAll(async () => {
  await Promise.all([billing.close(), usageRecord.close()]);
  await database.close();
});

/** Keys 0 and 1 have budgets, 2 has none. */
type Step =
  | { do: "grant"; key: number; replica: number; needs: number[]; want: number; grow: boolean; ttlMs: number }
  | { do: "settle"; lease: number; costs: number[] }
  | { do: "settle late"; key: number; costs: number[] }
  | { do: "sync"; lease: number; renew: boolean; returnMicro: number; recallAnswered: boolean; close: boolean }
  | { do: "expire"; lease: number }
  | { do: "close expired" }
  | { do: "month"; key: number };

const key = fc.nat(2);
const micro = fc.nat(400);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("grant" as const), key, replica: fc.nat(2), needs: fc.array(micro, { minLength: 1, maxLength: 4 }),
      want: fc.nat(1_000), grow: fc.boolean(), ttlMs: fc.constantFrom(1, 60_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("settle" as const), lease: fc.nat(9), costs: fc.array(micro, { minLength: 1, maxLength: 4 }) }) },
  fc.record({ do: fc.constant("settle late" as const), key, costs: fc.array(micro, { minLength: 1, maxLength: 3 }) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("sync" as const), lease: fc.nat(9), renew: fc.boolean(), returnMicro: fc.nat(800), recallAnswered: fc.boolean(),
      close: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant("expire" as const), lease: fc.nat(9) }),
  fc.record({ do: fc.constant("close expired" as const) }),
  fc.record({ do: fc.constant("month" as const), key: fc.nat(1) }),
);
/** Steps of one array run at once. */
const sequence = fc.array(fc.oneof(step.map((one) => [one]), fc.array(step, { minLength: 2, maxLength: 5 })), {
  minLength: 1,
  maxLength: stepsMax,
});

async function createWorld() {
  const accountId = await openAccount(owner, 3_000);
  const keys: string[] = [];
  for (let index = 0; index < 3; index += 1) keys.push((await addKey(owner, accountId)).keyId);
  for (const [index, budget] of budgets.entries()) await owner`update api_keys set monthly_budget_micro = ${budget} where id = ${keys[index]!}`;
  const replicas = [randomUUID(), randomUUID(), randomUUID()];
  const leases: { leaseId: string; key: number; replicaId: string }[] = [];
  const months = budgets.map(() => 1);

  const settleAll = (key: number, leaseId: string, costs: number[]) => {
    const batch = costs.map((costMicro) => settlement({ accountId, keyId: keys[key]!, leaseId, costMicro }));
    return usageRecord.run((sql) => settle(sql, batch));
  };

  async function run(given: Step): Promise<void> {
    const lease = "lease" in given ? leases[given.lease % leases.length] : undefined;
    switch (given.do) {
      case "grant": {
        const replicaId = replicas[given.replica]!;
        const own = leases.findLast((each) => each.key === given.key && each.replicaId === replicaId);
        const budgeted = given.key < budgets.length ? { keyId: keys[given.key]! } : {};
        const leaseId = given.grow && own ? own.leaseId : null;
        const requests = [{ accountId, ...budgeted, leaseId, needsMicro: given.needs, wantMicro: given.want }];
        const [grant] = await billing.run((sql) => grantLeases(sql, { replicaId, requests }, given.ttlMs));
        if (grant?.outcome === "granted") leases.push({ leaseId: grant.leaseId, key: given.key, replicaId });
        return;
      }
      case "settle":
        if (lease) await settleAll(lease.key, lease.leaseId, given.costs);
        return;
      case "settle late":
        await settleAll(given.key, randomUUID(), given.costs);
        return;
      case "sync": {
        if (!lease) return;
        const { renew, returnMicro, recallAnswered, close } = given;
        const report = { leaseId: lease.leaseId, renew, returnMicro, recallAnswered, close };
        await billing.run((sql) => syncLeases(sql, { replicaId: lease.replicaId, leases: [report] }, 60_000));
        return;
      }
      case "expire":
        if (lease) await owner`update leases set expires_at = now() - interval '1 ms' where id = ${lease.leaseId}`;
        return;
      case "close expired":
        await billing.run(closeExpiredLeases);
        return;
      case "month":
        months[given.key]! += 1;
        await owner`update key_budgets set month = month - interval '1 month' where key_id = ${keys[given.key]!}`;
    }
  }

  async function checkBudgets(): Promise<void> {
    for (const [index, budget] of budgets.entries()) {
      const [row] = await owner<{ within: boolean; spent: number; charged: number }[]>`
        select
          b.spent_micro + coalesce(sum(l.granted_micro), 0) between 0 and ${budget} as within,
          (b.spent_micro + coalesce(sum(l.consumed_micro), 0))::int as spent,
          (select coalesce(sum(cost_micro), 0) from usage_events u where u.key_id = b.key_id)::int as charged
        from key_budgets b left join leases l on l.key_id = b.key_id
        where b.key_id = ${keys[index]!}
        group by b.key_id
      `;
      if (!row) continue;
      expect(row.within).toBe(true);
      expect(row.spent).toBeGreaterThanOrEqual(0);
      expect(row.charged).toBeLessThanOrEqual(budget * months[index]!);
      if (months[index] === 1) expect(row.spent).toBe(row.charged);
    }
  }

  /** As in billing-properties.test.ts: budgets change nothing about the account. */
  async function checkMoney(): Promise<void> {
    const [row] = await owner`
      select
        leased_micro = (select coalesce(sum(granted_micro), 0) from leases l where l.account_id = b.account_id) as leases,
        consumed_micro + (select coalesce(sum(consumed_micro), 0) from leases l where l.account_id = b.account_id)
          = (select coalesce(sum(cost_micro), 0) from usage_events u where u.account_id = b.account_id) as charges,
        credited_micro - consumed_micro - leased_micro >= 0 as available
      from balances b where account_id = ${accountId}
    `;
    expect(row).toEqual({ leases: true, charges: true, available: true });
  }

  return { run, checkBudgets, checkMoney };
}

test(`budgets are never overspent over ${sequences} random sequences, many steps at once (money: never overspent)`, async () => {
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const world = await createWorld();
      for (const together of steps) {
        await Promise.all(together.map(world.run));
        await world.checkBudgets();
        await world.checkMoney();
      }
    }),
    { numRuns: sequences },
  );
  const [row] = await owner<{ deadlocks: number }[]>`
    select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()
  `;
  expect(row!.deadlocks).toBe(0);
}, 180_000);
