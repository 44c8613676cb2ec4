/** What leases promise over whole processes (design: one request, 3): kept, lost, recalled, and rarely asked for. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callWorstCase, moneyOf, startLeaseStage, worstCaseMicro, type LeaseStage } from "../support/lease-stage.ts";
import { startCountingRelay, type CountingRelay } from "../support/counting-relay.ts";
import type { Replica } from "../support/replica.ts";
import type { Customer } from "../support/shared-stack.ts";
import { inParallel } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const leaseTtlMs = 2_000;
/** Milliseconds before each of the 20 tokens of a stream that outlives several leases. */
const slowMs = 400;

let stage: LeaseStage;
let relay: CountingRelay;
let first: Replica;
let second: Replica;

beforeAll(async () => {
  stage = await startLeaseStage(leaseTtlMs);
  relay = await startCountingRelay(stage.billing.url);
  [first, second] = await Promise.all([stage.startProxy(relay.url), stage.startProxy()]);
}, 120_000);
afterAll(async () => {
  relay.stop();
  await stage.stop();
}, 60_000);

async function customerWith(calls: number): Promise<Customer> {
  const [customer] = await stage.customersWith(calls, 1, [first, second]);
  return customer!;
}

interface LeaseRow {
  id: string;
  expires_at: Date;
}

const leasesOf = ({ accountId }: Customer) =>
  stage.stack.sql<LeaseRow[]>`select id, expires_at from leases where account_id = ${accountId} and expires_at > now()`;

async function lossMicro(): Promise<number> {
  const [row] = await stage.stack.sql<{ loss: bigint }[]>`select coalesce(sum(loss_micro), 0)::bigint as loss from operator_losses`;
  return Number(row!.loss);
}

const parallel = (count: number, call: () => ReturnType<typeof callWorstCase>) => Promise.all(Array.from({ length: count }, call));
const completeOf = (outcomes: { complete: boolean }[]) => outcomes.filter(({ complete }) => complete).length;

describe("a stream that outlives several leases", () => {
  it("keeps its own, and its money from all others", async () => {
    const customer = await customerWith(1);
    const lossBefore = await lossMicro();
    let over = false;
    const stream = callWorstCase(first, customer, { stream: true, intervalMs: slowMs }).finally(() => (over = true));
    const [begun] = await waitFor("the lease", async () => (await leasesOf(customer)).length > 0 && (await leasesOf(customer)));
    let refused = 0;
    let last = begun!;
    while (!over) {
      const [lease] = await leasesOf(customer);
      if (!over) {
        expect(lease?.id).toBe(begun!.id);
        last = lease!;
      }
      expect((await callWorstCase(second, customer)).complete).toBe(false);
      refused += 1;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(await stream).toMatchObject({ complete: true, deltas: 20 });
    expect(last.expires_at.getTime() - begun!.expires_at.getTime()).toBeGreaterThan(2 * leaseTtlMs);
    expect(refused).toBeGreaterThan(5);
    expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, charged: worstCaseMicro, settled: 1 });
    expect(await lossMicro()).toBe(lossBefore);
  }, 60_000);
});

describe("a replica that is paused for longer than its leases live", () => {
  it("spends nothing of them when it goes on, and what ran on them is the operator's loss", async () => {
    const customer = await customerWith(10);
    const lossBefore = await lossMicro();
    expect(await callWorstCase(first, customer)).toMatchObject({ complete: true });
    // Far from zero a grant is larger than its need: there is idle money in the lease, and a running call on it.
    const running = callWorstCase(first, customer, { stream: true, intervalMs: 100 });
    await waitFor("the stream to run", async () => (await stage.stack.engine.counts()).open === 1);
    first.signal("SIGSTOP");
    const pausedAtMs = performance.now();
    const [lease] = await leasesOf(customer);
    const meanwhile = parallel(20, () => callWorstCase(first, customer));
    await waitFor("the lease to end", async () => (await leasesOf(customer)).length === 0);
    expect(performance.now() - pausedAtMs).toBeGreaterThan(leaseTtlMs / 2);
    const spent = await parallel(15, () => callWorstCase(second, customer));
    expect(completeOf(spent)).toBe(9);
    expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, available: 0 });

    first.signal("SIGCONT");
    const [late, stream, after] = await Promise.all([meanwhile, running, parallel(20, () => callWorstCase(first, customer))]);
    expect(completeOf([...late, ...after])).toBe(0);
    expect(lease).toBeDefined();
    // Its money was spent by others meanwhile: the caller gets what it was promised, and pays what is left.
    expect(stream.deltas).toBe(20);
    await waitFor("the late settlement", async () => (await lossMicro()) > lossBefore);
    expect(await lossMicro()).toBe(lossBefore + worstCaseMicro);
    expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, available: 0, charged: 10 * worstCaseMicro, settled: 10 });
  }, 60_000);
});

describe("idle money in another replica's lease", () => {
  it("is recalled before anyone is refused, while a call on that lease goes on", async () => {
    const customer = await customerWith(10);
    const running = callWorstCase(first, customer, { stream: true, intervalMs: 150 });
    await waitFor("the stream to run", async () => (await stage.stack.engine.counts()).open === 1);
    const { available } = await moneyOf(stage.stack, customer);
    // Else there is nothing to recall.
    expect(available).toBeLessThan(9 * worstCaseMicro);
    const outcomes = await parallel(12, () => callWorstCase(second, customer));
    expect(completeOf(outcomes)).toBe(9);
    expect(await running).toMatchObject({ complete: true, deltas: 20 });
    expect(await moneyOf(stage.stack, customer)).toMatchObject({ balance: 0, settled: 10 });
  }, 60_000);
});

describe("in the warm path billing is hardly asked", () => {
  it("one hot account on two replicas: a grant serves hundreds of calls", async () => {
    const calls = 1_000;
    const customer = await customerWith(calls * 20);
    const asked = () => relay.counts["/leases/grant"] ?? 0;
    await callWorstCase(first, customer);
    const before = asked();
    const outcomes = await inParallel(Array.from({ length: 2 * calls }, (_, index) => index), 32, (index) =>
      callWorstCase(index % 2 === 0 ? first : second, customer),
    );
    expect(completeOf(outcomes)).toBe(2 * calls);
    expect(asked() - before).toBeLessThan(calls / 50);
    expect(await moneyOf(stage.stack, customer)).toMatchObject({ charged: (2 * calls + 1) * worstCaseMicro, settled: 2 * calls + 1 });
  }, 60_000);

  it("many accounts on one replica: their grants share calls, and so do their renewals", async () => {
    const accounts = 300;
    const customers = await stage.customersWith(100, accounts, [first]);
    const before = { ...relay.counts };
    const startedAtMs = performance.now();
    const outcomes = await Promise.all(customers.flatMap((customer) => [1, 2, 3].map(() => callWorstCase(first, customer))));
    const since = (path: string) => (relay.counts[path] ?? 0) - (before[path] ?? 0);
    const grants = since("/leases/grant");
    const syncs = since("/leases/sync");
    const elapsedMs = performance.now() - startedAtMs;
    expect(completeOf(outcomes)).toBe(3 * accounts);
    expect(grants).toBeLessThan(accounts / 2);
    // One report for all of them, each quarter of a second.
    expect(syncs).toBeLessThanOrEqual(Math.ceil(elapsedMs / 250) + 1);
  }, 60_000);
});
