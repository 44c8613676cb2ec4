/**
 * What money may never do, in whatever order calls of several connections come, and whoever dies in the middle of
 * them. The books are kept here a second time, from what the callers were told and nothing else.
 */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sqlState } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { DatabaseFunction } from "#infra/local/migrate.ts";
import { uuidv7 } from "#shared/ids.ts";
import type { LeaseAnswer, LeaseCall } from "../../functions/billing/lease-changes.ts";
import { createLeaseMoves } from "../../functions/billing/lease-moves.ts";
import { closeExpiredLeases } from "../../functions/billing/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement, SettlementsAnswer } from "../../functions/usage-record/schema.ts";
import { postEvent, settlement, voided, type BillingKind } from "../support/accounts.ts";
import { faults, NoAnswer, noFaults, runWith, type Fault, type Role } from "../support/broken-connection.ts";
import { createTestDatabase } from "../support/database.ts";
import { moveLeases } from "../support/leases.ts";
import { brokenIn, chargesIn, createMoneyWorld, longFactor, lossIn, moneyIn, seed, setPrice } from "../support/money-world.ts";

const sequences = 1_200 * longFactor;
/** Sequences at once. */
const width = 4;
const stepsMax = 8;
/** Steps that run at once. */
const togetherMax = 5;
/** Milliseconds: no lease ends but by a step. */
const ttlMs = 3_600_000;

const database = await createTestDatabase();
const { sql: owner } = database;
const role = (name: DatabaseFunction): Role => ({
  url: database.urlFor(name),
  pool: createDatabasePool({ url: database.urlFor(name), log: () => {}, connections: 8 }),
});
const billing = role("billing");
const usageRecord = role("usage-record");
const operator: Role = { url: database.url, pool: createDatabasePool({ url: database.url, log: () => {}, connections: 8 }) };
const happened = noFaults();

afterAll(async () => {
  await Promise.all([billing, usageRecord, operator].map(({ pool }) => pool.close()));
  await database.close();
});

const account = fc.nat(1);
const replica = fc.nat(2);
const fault: fc.Arbitrary<Fault> = fc.oneof({ weight: 12, arbitrary: fc.constant("none" as const) }, fc.constantFrom(...faults));

const step = fc.oneof(
  fc.record({ do: fc.constant("post" as const), account, kind: fc.constantFrom<BillingKind>("top_up", "refund", "adjustment"), amount: fc.integer({ min: -1_500, max: 2_500 }), fault }),
  { weight: 5, arbitrary: fc.record({ do: fc.constant("hold" as const), account, replica, tokens: fc.array(fc.nat(300), { minLength: 1, maxLength: 4 }), want: fc.nat(2_000), fault }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("settle" as const), replica, holds: fc.integer({ min: 1, max: 5 }), share: fc.double({ min: 0, max: 1, noNaN: true }), fault }) },
  fc.record({ do: fc.constant("settle late" as const), account, tokens: fc.nat(300), fault }),
  fc.record({ do: fc.constantFrom("settle again" as const, "void" as const), from: fc.nat(30), rows: fc.integer({ min: 1, max: 8 }), fault }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant("sync" as const), account, replica, recallAnswered: fc.boolean(), fault }) },
  fc.record({ do: fc.constant("expire" as const), account, replica }),
  fc.record({ do: fc.constant("proxy dies" as const), replica }),
  fc.record({ do: fc.constant("close expired" as const), fault }),
  fc.record({ do: fc.constant("price change" as const), outputMicro: fc.integer({ min: 0, max: 4 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const sequence = fc.array(fc.array(step, { minLength: 1, maxLength: togetherMax }), { minLength: 1, maxLength: stepsMax });

/** As billing does: calls of one account share transactions. One that a fault is to happen to is alone in its own. */
const gathered = createLeaseMoves({ database: billing.pool, clock: systemClock, leaseTtlMs: ttlMs });

async function move(call: LeaseCall, given: Fault): Promise<LeaseAnswer> {
  if (given !== "none") {
    const [answer] = await runWith(owner, billing, given, happened, (sql) => moveLeases(sql, [call], ttlMs));
    return answer!;
  }
  happened.none += 1;
  return gathered(call).catch((thrown: unknown) => {
    throw thrown instanceof EpithreError && thrown.kind === "unavailable" ? new NoAnswer() : thrown;
  });
}

type Result = SettlementsAnswer["results"][number];

/** What a replica of the proxy knows of one lease. */
interface KnownLease {
  id: string;
  /** Granted, and neither held nor given back nor charged. */
  freeMicro: number;
  /** Nothing else has ended it or failed on it: whatever is held must be paid in full. */
  isSound: boolean;
}

interface Held {
  lease: KnownLease;
  tokens: number;
  price: { version: number; outputMicro: number };
}

async function createWorld() {
  const credits = [2_000, 400];
  const world = await createMoneyWorld(owner, credits);
  const credited = new Map(world.accounts.map((id, at) => [id, credits[at]!]));
  /** Events whose answer was lost, to be posted again under the same key. */
  const unposted: { accountId: string; amountMicro: number; kind: BillingKind; idempotencyKey: string }[] = [];
  const leases = new Map<string, KnownLease>();
  const holds = new Map<string, Held[]>();
  const sent: Settlement[] = [];
  /** Requests that must be charged in full whichever settlement wins: they were held on a sound lease. */
  const covered = new Map<string, { lease: KnownLease; unusedMicro: number }>();
  const answers = new Map<string, { given: Settlement; result: Result }[]>();
  /** Batches whose answer was lost: they may have taken effect or not, until they are sent again. */
  const unanswered: Settlement[][] = [];
  const slot = (at: number, of: number) => `${world.accounts[at]} ${world.replicas[of]}`;

  async function send(batch: Settlement[], given: Fault): Promise<void> {
    let results: Result[];
    try {
      results = await runWith(owner, usageRecord, given, happened, (sql) => settle(sql, batch));
    } catch (thrown) {
      if (!(thrown instanceof NoAnswer)) throw thrown;
      unanswered.push(batch);
      return;
    }
    for (const [position, each] of batch.entries()) {
      // The hold ends when the outcome is known, and only then is the rest of it free again.
      const known = covered.get(each.requestId);
      if (known && !answers.has(each.requestId)) known.lease.freeMicro += known.unusedMicro;
      answers.set(each.requestId, [...(answers.get(each.requestId) ?? []), { given: each, result: results[position]! }]);
    }
  }

  async function post(event: (typeof unposted)[number], given: Fault): Promise<void> {
    try {
      await runWith(owner, operator, given, happened, (sql) => postEvent(sql, event.accountId, { ...event, reason: "correction" }));
      credited.set(event.accountId, credited.get(event.accountId)! + event.amountMicro);
    } catch (thrown) {
      if (thrown instanceof NoAnswer) unposted.push(event);
      // More than is available, or an amount that its kind cannot have.
      else if (!["EP402", "23514"].includes(sqlState(thrown))) throw thrown;
    }
  }

  /** Holds come out of the lease in memory, and a grant only covers what it lacks. */
  async function hold(given: Step & { do: "hold" }): Promise<void> {
    const key = slot(given.account, given.replica);
    const price = world.prices.at(-1)!;
    const known = leases.get(key);
    const needs = given.tokens.map((tokens) => tokens * price.outputMicro);
    const requests = [{ accountId: world.accounts[given.account]!, leaseId: known?.id ?? null, needsMicro: needs, wantMicro: given.want }];
    try {
      const { grants: [grant] } = await move({ replicaId: world.replicas[given.replica]!, requests, reports: [] }, given.fault);
      if (grant!.outcome !== "granted") return;
      const lease = known?.id === grant!.leaseId ? known : { id: grant!.leaseId, freeMicro: 0, isSound: true };
      // Another grant may have come first; the money of its lease then stays unknown here, and unspent.
      if (leases.get(key) === known) leases.set(key, lease);
      if (leases.get(key) !== lease) return;
      lease.freeMicro += grant!.grantedMicro;
      for (const tokens of given.tokens.slice(0, grant!.needsCovered)) {
        lease.freeMicro -= tokens * price.outputMicro;
        holds.set(key, [...(holds.get(key) ?? []), { lease, tokens, price }]);
      }
    } catch (thrown) {
      if (!(thrown instanceof NoAnswer)) throw thrown;
    }
  }

  /** One batch of a replica has calls of all accounts. */
  async function settleHolds(given: Step & { do: "settle" }): Promise<void> {
    const batch = world.accounts.flatMap((accountId, at) => {
      const ended = (holds.get(slot(at, given.replica)) ?? []).splice(0, given.holds);
      return ended.map(({ lease, tokens, price }) => {
        // Never more than the hold, at the price that it was taken for.
        const used = Math.floor(tokens * given.share);
        const made = fresh(accountId, lease.id, used, price);
        covered.set(made.requestId, { lease, unusedMicro: (tokens - used) * price.outputMicro });
        return made;
      });
    });
    if (batch.length > 0) await send(batch, given.fault);
  }

  function fresh(accountId: string, leaseId: string, tokens: number, price: Held["price"]): Settlement {
    const { version, outputMicro } = price;
    const made = settlement({
      accountId, leaseId, model: world.model, requestId: uuidv7(Date.now()), priceVersion: version, completionTokens: tokens, costMicro: tokens * outputMicro,
    });
    sent.push(made);
    return made;
  }

  async function sync(given: Step & { do: "sync" }): Promise<void> {
    const key = slot(given.account, given.replica);
    const lease = leases.get(key);
    if (!lease) return;
    const close = (holds.get(key) ?? []).length === 0;
    // Settlements of a lease that closes must be known: the proxy holds until they are. Here one may be under way.
    if (close) {
      lease.isSound = false;
      leases.delete(key);
    }
    const returnMicro = close ? 0 : lease.freeMicro;
    lease.freeMicro -= returnMicro;
    const accountId = world.accounts[given.account]!;
    const report = { leaseId: lease.id, accountId, renew: !close, returnMicro, recallAnswered: given.recallAnswered, close };
    try {
      await move({ replicaId: world.replicas[given.replica]!, requests: [], reports: [report] }, given.fault);
    } catch (thrown) {
      if (!(thrown instanceof NoAnswer)) throw thrown;
    }
  }

  async function expire(id: string): Promise<void> {
    await owner`update leases set expires_at = now() - interval '1 ms' where id = ${id}`;
  }

  async function run(given: Step): Promise<void> {
    switch (given.do) {
      case "post":
        return post({ accountId: world.accounts[given.account]!, amountMicro: given.amount, kind: given.kind, idempotencyKey: randomUUID() }, given.fault);
      case "hold":
        return hold(given);
      case "settle":
        return settleHolds(given);
      case "settle late":
        return send([fresh(world.accounts[given.account]!, randomUUID(), given.tokens, world.prices.at(-1)!)], given.fault);
      case "settle again":
      case "void": {
        const batch = sent.slice(given.from % (sent.length || 1)).slice(0, given.rows);
        if (batch.length === 0) return;
        return send(given.do === "void" ? batch.map(voided) : batch.toReversed(), given.fault);
      }
      case "sync":
        return sync(given);
      case "expire": {
        const lease = leases.get(slot(given.account, given.replica));
        if (!lease) return;
        lease.isSound = false;
        return expire(lease.id);
      }
      case "proxy dies":
        // What it held is never settled; its leases end by themselves.
        for (const at of world.accounts.keys()) {
          leases.delete(slot(at, given.replica));
          holds.delete(slot(at, given.replica));
        }
        return;
      case "close expired":
        await runWith(owner, billing, given.fault, happened, closeExpiredLeases).catch((thrown) => {
          if (!(thrown instanceof NoAnswer)) throw thrown;
        });
        return;
      case "price change":
        world.prices.push(await setPrice(owner, world.model, given.outputMicro));
    }
  }

  /** Retries until everything is known, and lets all leases run out: nothing may be left behind. */
  async function finish(): Promise<void> {
    for (const event of unposted.splice(0)) await post(event, "none");
    for (const batch of unanswered.splice(0)) await send(batch, "none");
    await owner`update leases set expires_at = now() - interval '1 ms' where account_id = any (${world.accounts}::uuid[])`;
    await owner.begin(async (sql) => {
      // As the function's callers do, in the order of all.
      await sql`select from balances where account_id = any (${world.accounts}::uuid[]) order by account_id for no key update`;
      await sql`select from leases where account_id = any (${world.accounts}::uuid[]) order by id for update`;
      await sql`select close_expired_leases_of(id) from unnest(${world.accounts}::uuid[]) as id`;
    });
  }

  /** The books by what callers were told, against the database's. */
  async function check(): Promise<void> {
    const [money, charges, loss] = await Promise.all([moneyIn(owner, world.accounts), chargesIn(owner, world.accounts), lossIn(owner, world.model)]);
    // Each request once, and each was known to somebody.
    expect(charges.map(({ id }) => id)).toEqual([...answers.keys()].sort());
    const spent = new Map(world.accounts.map((id) => [id, 0]));
    let lossMicro = 0;
    for (const { id, status, cost, priced } of charges) {
      const tries = answers.get(id)!;
      for (const { given, result } of tries) {
        expect(result).toEqual({ outcome: given.status === status ? "settled" : "superseded", chargedMicro: cost });
      }
      const stands = tries.find(({ given }) => given.status === status)!.given;
      // Replayed from its tokens and the version of its hold.
      expect(priced).toBe(stands.costMicro);
      expect(cost).toBeLessThanOrEqual(priced);
      if (covered.get(id)?.lease.isSound) expect(cost).toBe(priced);
      lossMicro += priced - cost;
      spent.set(stands.accountId, spent.get(stands.accountId)! + cost);
    }
    expect(loss).toBe(lossMicro);
    expect(money).toEqual(world.accounts.map((id) => ({ credited: credited.get(id), consumed: spent.get(id), leased: 0, consumedInLeases: 0 })));
    for (const id of world.accounts) expect(credited.get(id)! - spent.get(id)!).toBeGreaterThanOrEqual(0);
  }

  return { run, finish, check, broken: () => brokenIn(owner, world.accounts) };
}

test(`money is never lost, made or spent twice, over ${sequences} sequences of many calls at once (seed ${seed})`, async () => {
  console.info(`sequences of money at once: EPITHRE_SEED=${seed}`);
  const property = fc.asyncProperty(sequence, async (steps) => {
    const world = await createWorld();
    for (const together of steps) {
      const ran = Promise.all(together.map(world.run));
      // Also in the middle of them.
      expect(await world.broken()).toEqual([]);
      await ran;
    }
    await world.finish();
    expect(await world.broken()).toEqual([]);
    await world.check();
  });
  await Promise.all(Array.from({ length: width }, (_, at) => fc.assert(property, { numRuns: Math.ceil(sequences / width), seed: seed + at })));

  // A fault that did not happen was not survived.
  for (const each of faults) expect([each, happened[each] > sequences / 20]).toEqual([each, true]);
  const [row] = await owner<{ deadlocks: number }[]>`select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()`;
  expect(row!.deadlocks).toBe(0);
}, 180_000 * longFactor);
