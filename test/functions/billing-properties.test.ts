/** What money may never do, whatever order grants, settlements, returns, expiries and top-ups come in. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sqlState } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { closeExpiredLeases, grantLeases, syncLeases } from "../../functions/billing/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement, SettlementsAnswer } from "../../functions/usage-record/schema.ts";
import { openAccount, postEvent, settlement, voided } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";

const sequences = 250;
const stepsMax = 12;

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
const usageRecord = createDatabasePool({ url: database.urlFor("usage-record"), log: () => {} });

afterAll(async () => {
  await Promise.all([billing.close(), usageRecord.close()]);
  await database.close();
});

type Step =
  | { do: "top up"; account: number; amountMicro: number }
  | { do: "refund"; account: number; amountMicro: number }
  | { do: "grant"; account: number; replica: number; needs: number[]; want: number; grow: boolean; ttlMs: number }
  | { do: "settle"; lease: number; costs: number[] }
  | { do: "settle on no lease"; account: number; costs: number[] }
  | { do: "settle again" | "void"; from: number; rows: number }
  | { do: "sync"; lease: number; renew: boolean; returnMicro: number; recallAnswered: boolean; close: boolean }
  | { do: "expire"; lease: number }
  | { do: "close expired" };

const index = fc.nat(9);
const account = fc.nat(1);
const micro = fc.nat(900);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("top up" as const), account, amountMicro: fc.integer({ min: 1, max: 3_000 }) }),
  fc.record({ do: fc.constant("refund" as const), account, amountMicro: fc.integer({ min: 1, max: 1_500 }) }),
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("grant" as const), account, replica: fc.nat(2), needs: fc.array(micro, { minLength: 1, maxLength: 4 }),
      want: fc.nat(2_000), grow: fc.boolean(), ttlMs: fc.constantFrom(1, 60_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("settle" as const), lease: index, costs: fc.array(micro, { minLength: 1, maxLength: 4 }) }) },
  fc.record({ do: fc.constant("settle on no lease" as const), account, costs: fc.array(micro, { minLength: 1, maxLength: 3 }) }),
  fc.record({ do: fc.constantFrom("settle again" as const, "void" as const), from: fc.nat(30), rows: fc.integer({ min: 1, max: 8 }) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("sync" as const), lease: index, renew: fc.boolean(), returnMicro: fc.nat(1_500), recallAnswered: fc.boolean(),
      close: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant("expire" as const), lease: index }),
  fc.record({ do: fc.constant("close expired" as const) }),
);
/** Steps of one array run at once. */
const sequence = fc.array(fc.oneof(step.map((one) => [one]), fc.array(step, { minLength: 2, maxLength: 5 })), {
  minLength: 1,
  maxLength: stepsMax,
});

type Result = SettlementsAnswer["results"][number];

/** One run: two accounts, three replicas, a model of its own so that the operator's losses are its own. */
async function createWorld() {
  const model = `m-${randomUUID()}`;
  await owner`select create_model(${model}, 'chat', 10, 10, 0, 0)`;
  const accounts = [await openAccount(owner, 2_000), await openAccount(owner, 1)];
  const replicas = [randomUUID(), randomUUID(), randomUUID()];
  const leases: { leaseId: string; accountId: string; replicaId: string }[] = [];
  const sent: Settlement[] = [];
  const answers = new Map<string, { given: Settlement; result: Result }[]>();

  async function send(batch: Settlement[]): Promise<void> {
    const results = await usageRecord.run((sql) => settle(sql, batch));
    for (const [position, given] of batch.entries()) {
      const result = results[position]!;
      answers.set(given.requestId, [...(answers.get(given.requestId) ?? []), { given, result }]);
    }
  }

  function fresh(accountId: string, leaseId: string, costs: number[]): Settlement[] {
    const batch = costs.map((costMicro) => settlement({ accountId, leaseId, costMicro, model, requestId: uuidv7(Date.now()) }));
    sent.push(...batch);
    return batch;
  }

  async function run(given: Step): Promise<void> {
    const lease = "lease" in given ? leases[given.lease % leases.length] : undefined;
    switch (given.do) {
      case "top up":
        await postEvent(owner, accounts[given.account]!, { amountMicro: given.amountMicro });
        return;
      case "refund": {
        const refund = { kind: "refund" as const, amountMicro: -given.amountMicro, reason: "refund_requested" };
        await postEvent(owner, accounts[given.account]!, refund).catch((thrown) => {
          if (sqlState(thrown) !== "EP402") throw thrown;
        });
        return;
      }
      case "grant": {
        const [accountId, replicaId] = [accounts[given.account]!, replicas[given.replica]!];
        const own = leases.find((each) => each.accountId === accountId && each.replicaId === replicaId);
        const leaseId = given.grow && own ? own.leaseId : null;
        const requests = [{ accountId, leaseId, needsMicro: given.needs, wantMicro: given.want }];
        const [grant] = await billing.run((sql) => grantLeases(sql, { replicaId, requests }, given.ttlMs));
        if (grant?.outcome === "granted") leases.push({ leaseId: grant.leaseId, accountId, replicaId });
        return;
      }
      case "settle":
        if (lease) await send(fresh(lease.accountId, lease.leaseId, given.costs));
        return;
      case "settle on no lease":
        await send(fresh(accounts[given.account]!, randomUUID(), given.costs));
        return;
      case "settle again":
      case "void": {
        const batch = sent.slice(given.from % (sent.length || 1)).slice(0, given.rows);
        if (batch.length > 0) await send(given.do === "void" ? batch.map(voided) : batch.toReversed());
        return;
      }
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
    }
  }

  /** Never more leased than there is; what was consumed is what was charged; credit is the sum of the billing events. */
  async function checkMoney(): Promise<void> {
    const rows = await owner`
      select
        credited_micro = (select coalesce(sum(amount_micro), 0) from billing_events e where e.account_id = a.id) as credit,
        leased_micro = (select coalesce(sum(granted_micro), 0) from leases l where l.account_id = a.id) as leases,
        consumed_micro + (select coalesce(sum(consumed_micro), 0) from leases l where l.account_id = a.id)
          = (select coalesce(sum(cost_micro), 0) from usage_events u where u.account_id = a.id) as charges,
        credited_micro - consumed_micro - leased_micro >= 0 as available
      from unnest(${accounts}::uuid[]) as a (id)
      join balances b on b.account_id = a.id
    `;
    for (const row of rows) expect(row).toEqual({ credit: true, leases: true, charges: true, available: true });
  }

  /** Each request once; every answer tells what stands; what was not charged is the operator's loss. */
  async function checkSettlements(): Promise<void> {
    const events = await owner<{ id: string; status: number; cost: number }[]>`
      select id, status::int as status, cost_micro::int as cost from usage_events where account_id = any (${accounts})
    `;
    expect(events.map(({ id }) => id).sort()).toEqual([...answers.keys()].sort());
    let lossMicro = 0;
    for (const { id, status, cost } of events) {
      const tries = answers.get(id)!;
      for (const { given, result } of tries) {
        expect(result).toEqual({ outcome: given.status === status ? "settled" : "superseded", chargedMicro: cost });
      }
      lossMicro += tries.find(({ given }) => given.status === status)!.given.costMicro - cost;
    }
    const [row] = await owner`
      select coalesce(sum(loss_micro), 0)::int as loss from operator_losses
      where model_id = (select id from models where name = ${model})
    `;
    expect(row!.loss).toBe(lossMicro);
  }

  return { run, checkMoney, checkSettlements };
}

test(`settle() and the leases keep the invariants of money over ${sequences} random sequences, many steps at once`, async () => {
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const world = await createWorld();
      for (const together of steps) {
        await Promise.all(together.map(world.run));
        await world.checkMoney();
      }
      await world.checkSettlements();
    }),
    { numRuns: sequences },
  );
  const [row] = await owner<{ deadlocks: number }[]>`
    select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()
  `;
  expect(row!.deadlocks).toBe(0);
}, 180_000);
