/** Money for ten worst cases is spent ten times, whoever asks how often at once, and whatever dies meanwhile. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callWorstCase, moneyOf, startLeaseStage, worstCaseMicro, type LeaseStage } from "../support/lease-stage.ts";
import { createRandom } from "../support/random.ts";
import type { Replica } from "../support/replica.ts";
import type { Customer } from "../support/shared-stack.ts";
import { inParallel, type Outcome } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const worstCases = 10;
const calls = 500;
const accountsAtOnce = 50;
/** Parallel calls of each of the accounts at once; the long form sends as many as the one account does. */
const callsOfEach = process.env.EPITHRE_TEST_LONG ? calls : 100;
/** Seeds of the kills; the long form goes on from the last. */
const seeds = Array.from({ length: process.env.EPITHRE_TEST_LONG ? 40 : 3 }, (_, index) => 20_261_125 + index);
/** Milliseconds: longer than a call waits for money, so that what a dead replica had set aside is not spent at once. */
const leaseTtlMs = 5_000;
/** Milliseconds before each of a call's 20 tokens, and that it takes, where replicas are killed meanwhile. */
const intervalMs = 30;
const callMs = 600;

let stage: LeaseStage;
let replicas: Replica[];

beforeAll(async () => {
  stage = await startLeaseStage(leaseTtlMs);
  replicas = await Promise.all([1, 2, 3].map(() => stage.startProxy()));
}, 120_000);
afterAll(() => stage.stop(), 60_000);

const complete = (outcomes: readonly Outcome[]) => outcomes.filter((outcome) => outcome.complete).length;
const codes = (outcomes: readonly Outcome[]) => [...new Set(outcomes.filter((each) => !each.complete).map(({ errorCode }) => errorCode))];

const newCustomers = (count: number) => stage.customersWith(worstCases, count, replicas);

/** The least that each account has and can spend while `work` runs: looked at all along. */
async function watched<T>(customers: Customer[], work: Promise<T>): Promise<{ result: T; leastMicro: number; looks: number }> {
  const accounts = customers.map(({ accountId }) => accountId);
  let running = true;
  let leastMicro = Number.POSITIVE_INFINITY;
  let looks = 0;
  const watching = (async () => {
    while (running) {
      const [row] = await stage.stack.sql<{ least: bigint }[]>`
        select min(least(credited_micro - consumed_micro - leased_micro, credited_micro - consumed_micro
          - coalesce((select sum(consumed_micro) from leases l where l.account_id = b.account_id), 0)))::bigint as least
        from balances b where account_id = any (${accounts}::uuid[])
      `;
      leastMicro = Math.min(leastMicro, Number(row!.least));
      looks += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const result = await work.finally(() => {
    running = false;
    return watching;
  });
  return { result, leastMicro, looks };
}

/** All calls of all customers, as many at once as this process may have sockets; in turn to each replica. */
async function callAll(customers: Customer[], each: number): Promise<Outcome[][]> {
  const plan = Array.from({ length: each }, (_, index) => customers.map((customer) => ({ customer, index }))).flat();
  const called = await inParallel(plan, Math.min(plan.length, 5_000), async ({ customer, index }) => ({
    customer,
    outcome: await callWorstCase(replicas[index % replicas.length]!, customer),
  }));
  return customers.map((customer) => called.filter((call) => call.customer === customer).map(({ outcome }) => outcome));
}

describe("three replicas and money for exactly 10 worst cases", () => {
  it.each([
    ["one account", 1, calls],
    [`${accountsAtOnce} accounts at once`, accountsAtOnce, callsOfEach],
  ])("%s: of all parallel calls exactly 10 complete", async (_, count, each) => {
    const customers = await newCustomers(count);
    const { result, leastMicro, looks } = await watched(customers, callAll(customers, each));
    expect(result.map(complete)).toEqual(customers.map(() => worstCases));
    expect(codes(result.flat())).toContain("insufficient_quota");
    // A call that waited for seconds, since so many did, is told to try again.
    expect(["insufficient_quota", "service_unavailable"]).toEqual(expect.arrayContaining(codes(result.flat())));
    expect(looks).toBeGreaterThan(0);
    expect(leastMicro).toBeGreaterThanOrEqual(0);
    for (const customer of customers) {
      expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, charged: worstCases * worstCaseMicro, settled: worstCases });
    }
  }, 120_000);
});

describe("with random kill -9 of replicas", () => {
  /** Calls as a client would: one whose connection broke is tried again elsewhere, as a new call. */
  async function callUntilAnswered(customer: Customer, first: number): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (let turn = first; outcomes.length < 3; turn += 1) {
      const outcome = await callWorstCase(replicas[turn % replicas.length]!, customer, { intervalMs });
      outcomes.push(outcome);
      if (outcome.status !== undefined) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return outcomes;
  }

  /** One or two replicas while calls run; new ones take their places. */
  async function killAtRandom(seed: number): Promise<number> {
    const random = createRandom(seed);
    const first = Math.floor(random() * replicas.length);
    const places = random() < 0.5 ? [first] : [first, (first + 1) % replicas.length];
    await waitFor("calls to run", async () => (await stage.stack.engine.counts()).open > 0);
    const kills = places.map(async (place) => {
      await new Promise((resolve) => setTimeout(resolve, random() * callMs));
      replicas[place]!.signal("SIGKILL");
      expect(await replicas[place]!.ended).toBe("SIGKILL");
      replicas[place] = await stage.startProxy();
    });
    await Promise.all(kills);
    return performance.now();
  }

  let unsettled = 0;

  async function checkRound(customers: Customer[], each: number, seed: number): Promise<void> {
    const callers = customers.flatMap((customer) => Array.from({ length: each }, (_, index) => ({ customer, index })));
    const calling = inParallel(callers, callers.length, async ({ customer, index }) => ({ customer, outcomes: await callUntilAnswered(customer, index) }));
    const { result: [called, killedAtMs], leastMicro } = await watched(customers, Promise.all([calling, killAtRandom(seed)]));
    expect(leastMicro).toBeGreaterThanOrEqual(0);

    await waitFor("the leases of the dead to end", () => performance.now() > killedAtMs + leaseTtlMs, leaseTtlMs + 1_000);
    const checked = customers.map(async (customer) => {
      const before = await moneyOf(stage.stack, customer);
      const seen = called.filter((call) => call.customer === customer).flatMap(({ outcomes }) => outcomes);
      expect(complete(seen)).toBeLessThanOrEqual(before.settled);
      expect(before.settled).toBeLessThanOrEqual(worstCases);
      unsettled += worstCases - before.settled;
      const again = await Promise.all(Array.from({ length: 15 }, (_, index) => callWorstCase(replicas[index % replicas.length]!, customer)));
      expect({ seed, complete: complete(again), codes: codes(again) }).toEqual({ seed, complete: worstCases - before.settled, codes: ["insufficient_quota"] });
      expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, charged: worstCases * worstCaseMicro, settled: worstCases });
    });
    await Promise.all(checked);
  }

  it.each(seeds)("seed %i: at most 10 complete, and all that was not settled is spent after the time-to-live", async (seed) => {
    await checkRound(await newCustomers(1), calls, seed);
  }, 120_000);

  it("the same with 50 accounts at once", async () => {
    await checkRound(await newCustomers(accountsAtOnce), 20, seeds[0]!);
  }, 120_000);

  it("and money was set aside by replicas that died, or nothing was tested", () => {
    expect(unsettled).toBeGreaterThan(0);
  });
});
