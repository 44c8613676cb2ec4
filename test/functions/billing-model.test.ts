/** The SQL of money against a plain model of it: the same sequence of calls, the same answers and the same books. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sqlState } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";
import { postEvent, settlement, voided } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { moveLeases } from "../support/leases.ts";
import { createMoneyModel, type ModelLease } from "../support/money-model.ts";
import { brokenIn, chargesIn, createMoneyWorld, longFactor, lossIn, moneyIn, seed, setPrice } from "../support/money-world.ts";

const sequences = 3_000 * longFactor;
/** Sequences at once: each is alone with its accounts, the database is not. */
const width = 6;
const stepsMax = 14;
const ttlMs = 3_600_000;

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
const usageRecord = createDatabasePool({ url: database.urlFor("usage-record"), log: () => {} });

afterAll(async () => {
  await Promise.all([billing.close(), usageRecord.close()]);
  await database.close();
});

const kinds = ["top_up", "refund", "signup_credit", "adjustment"] as const;
const account = fc.nat(1);
const amount = fc.nat(900);

const grantStep = fc.record({
  do: fc.constant("grant" as const), account, replica: fc.nat(2), needs: fc.array(amount, { minLength: 1, maxLength: 4 }), want: fc.nat(2_000), grow: fc.boolean(),
});
const syncStep = fc.record({
  do: fc.constant("sync" as const), lease: fc.nat(9), stranger: fc.boolean(), renew: fc.boolean(), returned: fc.nat(1_500), recallAnswered: fc.boolean(), close: fc.boolean(),
  namesAccount: fc.boolean(),
});

const step = fc.oneof(
  fc.record({ do: fc.constant("post" as const), account, kind: fc.constantFrom(...kinds), amount: fc.integer({ min: 1, max: 2_500 }), negative: fc.boolean(), key: fc.nat(3) }),
  { weight: 2, arbitrary: grantStep },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("together" as const), grants: fc.array(grantStep, { maxLength: 4 }), syncs: fc.array(syncStep, { maxLength: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("settle" as const), leases: fc.array(fc.record({ lease: fc.nat(9), tokens: fc.nat(300), price: fc.nat(3) }), { minLength: 1, maxLength: 4 }) }) },
  fc.record({ do: fc.constantFrom("settle again" as const, "void" as const), from: fc.nat(30), rows: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ do: fc.constant("settle on no lease" as const), account, tokens: fc.nat(300) }),
  { weight: 3, arbitrary: syncStep },
  fc.record({ do: fc.constant("expire" as const), lease: fc.nat(9) }),
  fc.record({ do: fc.constant("close expired" as const) }),
  fc.record({ do: fc.constant("price change" as const), outputMicro: fc.integer({ min: 0, max: 4 }) }),
);
type Of<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Step = Of<typeof step>;
type GrantStep = Of<typeof grantStep>;
type SyncStep = Of<typeof syncStep>;

async function createWorld() {
  const credits = [2_000, 1];
  const world = await createMoneyWorld(owner, credits);
  const model = createMoneyModel();
  for (const [index, id] of world.accounts.entries()) model.post(id, "top_up", credits[index]!, randomUUID());
  const keys = Array.from({ length: 4 }, () => randomUUID());
  const leases: ModelLease[] = [];
  const sent: Settlement[] = [];

  async function send(batch: Settlement[]): Promise<void> {
    const expected = model.settle(batch.map(({ requestId, accountId, leaseId, costMicro, status }) => ({ requestId, accountId, leaseId, cost: costMicro, status })));
    const results = await usageRecord.run((sql) => settle(sql, batch));
    expect(results).toEqual(expected.map(({ outcome, charged }) => ({ outcome, chargedMicro: charged })));
  }

  function fresh(accountId: string, leaseId: string, tokens: number, price: number): Settlement {
    const { version, outputMicro } = world.prices[price % world.prices.length]!;
    const made = settlement({ accountId, leaseId, model: world.model, requestId: uuidv7(Date.now()), priceVersion: version, completionTokens: tokens, costMicro: tokens * outputMicro });
    sent.push(made);
    return made;
  }

  /** Calls of replicas in one transaction: their reports are looked at first, each lease once, then their requests in order. */
  async function move(grants: GrantStep[], syncs: SyncStep[]): Promise<void> {
    const asks = grants.map(({ account, replica, needs, want, grow }) => {
      const [accountId, replicaId] = [world.accounts[account]!, world.replicas[replica]!];
      const own = grow ? leases.find((lease) => lease.accountId === accountId && lease.replicaId === replicaId) : undefined;
      return { accountId, replicaId, leaseId: own?.id ?? null, needs, want };
    });
    const reports = new Map(leases.length === 0 ? [] : syncs.map((sync) => [leases[sync.lease % leases.length]!, sync]));
    const told = Array.from(reports, ([lease, sync]) => ({
      ...sync, leaseId: lease.id, accountId: sync.namesAccount ? lease.accountId : undefined,
      replicaId: sync.stranger ? world.replicas.find((id) => id !== lease.replicaId)! : lease.replicaId,
    }));
    const calls = [
      ...asks.map(({ replicaId, accountId, leaseId, needs, want }) => ({ replicaId, requests: [{ accountId, leaseId, needsMicro: needs, wantMicro: want }], reports: [] })),
      ...told.map(({ replicaId, leaseId, accountId, renew, returned, recallAnswered, close }) => ({
        replicaId, requests: [], reports: [{ leaseId, accountId, renew, returnMicro: returned, recallAnswered, close }],
      })),
    ];
    if (calls.length === 0) return;
    const answers = await billing.run((sql) => moveLeases(sql, calls, ttlMs));
    const gone = told.map((report) => model.sync(report.replicaId, report));
    for (const [at, { accountId, replicaId, leaseId, needs, want }] of asks.entries()) {
      const [grant] = answers[at]!.grants;
      const expected = model.grant(accountId, replicaId, leaseId, needs, want, () => (grant as { leaseId: string }).leaseId);
      if (expected.outcome === "granted") {
        const { granted, needsCovered, lease } = expected;
        expect(grant).toEqual({ outcome: "granted", leaseId: lease.id, grantedMicro: granted, needsCovered, ttlMs });
        if (!leases.includes(lease)) leases.push(lease);
      } else if (expected.outcome === "recalling") expect(grant!.outcome).toBe("recalling");
      // A second after an answer others are asked again: a slow machine may get there.
      else if (grant!.outcome !== "recalling") expect(grant).toEqual({ outcome: "insufficient", availableMicro: expected.available });
    }
    for (const [at, { replicaId }] of told.entries()) {
      expect(answers[asks.length + at]).toEqual({ grants: [], leases: [{ gone: gone[at], ttlMs }], recalled: model.recalled(replicaId) });
    }
  }

  async function run(given: Step): Promise<void> {
    switch (given.do) {
      case "post": {
        const negative = given.kind === "refund" || (given.kind === "adjustment" && given.negative);
        const amountMicro = negative ? -given.amount : given.amount;
        const [accountId, key] = [world.accounts[given.account]!, keys[given.key]!];
        const event = { kind: given.kind, amountMicro, reason: "correction", idempotencyKey: key };
        const state = await postEvent(owner, accountId, event).then(() => "posted", sqlState);
        expect(state).toBe({ posted: "posted", conflict: "EP409", second: "23505", short: "EP402" }[model.post(accountId, given.kind, amountMicro, key)]);
        return;
      }
      case "grant":
        return move([given], []);
      case "together":
        return move(given.grants, given.syncs);
      case "settle":
        if (leases.length === 0) return;
        await send(given.leases.map(({ lease: at, tokens, price }) => {
          const lease = leases[at % leases.length]!;
          return fresh(lease.accountId, lease.id, tokens, price);
        }));
        return;
      case "settle on no lease":
        await send([fresh(world.accounts[given.account]!, randomUUID(), given.tokens, 0)]);
        return;
      case "settle again":
      case "void": {
        const batch = sent.slice(given.from % (sent.length || 1)).slice(0, given.rows);
        if (batch.length > 0) await send(given.do === "void" ? batch.map(voided) : batch.toReversed());
        return;
      }
      case "sync":
        return move([], [given]);
      case "expire": {
        const lease = leases[given.lease % leases.length];
        if (!lease) return;
        model.expire(lease.id);
        await owner`update leases set expires_at = now() - interval '1 ms' where id = ${lease.id}`;
        return;
      }
      case "close expired":
        // Not those of anybody, which would be the other sequences' too.
        await owner`select close_expired_leases_of(id) from unnest(${world.accounts}::uuid[]) as id`;
        for (const id of world.accounts) model.closeExpired(id);
        return;
      case "price change":
        world.prices.push(await setPrice(owner, world.model, given.outputMicro));
    }
  }

  async function check(): Promise<void> {
    const [money, charges, loss, broken] = await Promise.all([
      moneyIn(owner, world.accounts), chargesIn(owner, world.accounts), lossIn(owner, world.model), brokenIn(owner, world.accounts),
    ]);
    expect(broken).toEqual([]);
    expect(money).toEqual(world.accounts.map((id) => model.money(id)));
    const expected = model.charges().sort((one, other) => (one.id < other.id ? -1 : 1));
    expect(charges.map(({ id, cost, status }) => ({ id, cost, status }))).toEqual(expected);
    for (const { cost, priced } of charges) expect(cost).toBeLessThanOrEqual(priced);
    expect(loss).toBe(model.loss());
  }
  return { run, check };
}

test(`the SQL of money answers as a plain model of it, over ${sequences} sequences (seed ${seed})`, async () => {
  console.info(`sequences of money: EPITHRE_SEED=${seed}`);
  const sequence = fc.array(step, { minLength: 1, maxLength: stepsMax });
  const property = fc.asyncProperty(sequence, async (steps) => {
    const world = await createWorld();
    for (const one of steps) await world.run(one);
    await world.check();
  });
  await Promise.all(
    Array.from({ length: width }, (_, index) => fc.assert(property, { numRuns: Math.ceil(sequences / width), seed: seed + index })),
  );
}, 180_000 * longFactor);
