/** The leases of three replicas against the plain model of the money: in made-up time, with lost calls and lost answers. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import type { Grant } from "../../../functions/billing/schema.ts";
import { createLeases, type Hold, type Leases } from "../../../functions/proxy/leases.ts";
import { createMoneyModel } from "../../support/money-model.ts";
import { longFactor, seed } from "../../support/money-world.ts";

const sequences = 6_000 * longFactor;
const stepsMax = 20;
const ttlMs = 2_000;
const credit = 2_000;
/** Milliseconds within which a call must have its hold or its refusal: what it waits for billing, and one call to it. */
const answeredWithinMs = 8_000;

beforeAll(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterAll(() => void vi.useRealTimers());

type Way = "answers" | "not called" | "answer lost";

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("take" as const), replica: fc.nat(2), account: fc.nat(1), amount: fc.nat(700) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), hold: fc.nat(20), share: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(1, 20, 300, 900, 2_150, 2_500, 7_000) }) },
  fc.record({ do: fc.constant("replica is cut off" as const), replica: fc.nat(2) }),
  fc.record({ do: fc.constant("top up" as const), account: fc.nat(1), amount: fc.integer({ min: 1, max: 1_000 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function createWorld(ways: Way[]) {
  const model = createMoneyModel();
  const accounts = [randomUUID(), randomUUID()];
  for (const id of accounts) model.post(id, "top_up", credit, randomUUID());
  const expiresAtMs = new Map<string, number>();
  const clock = { monotonicMs: () => performance.now(), wallMs: () => performance.now() };
  let calls = 0;

  function endExpired(): void {
    for (const [id, atMs] of expiresAtMs) if (atMs <= clock.monotonicMs()) model.expire(id);
  }

  function grant(replicaId: string, { accountId, leaseId, needsMicro, wantMicro }: any): Grant {
    const answer = model.grant(accountId, replicaId, leaseId, needsMicro, wantMicro, randomUUID);
    if (answer.outcome === "recalling") return { outcome: "recalling", retryMs: 50 };
    if (answer.outcome === "insufficient") return { outcome: "insufficient", availableMicro: answer.available };
    const { id } = answer.lease;
    expiresAtMs.set(id, clock.monotonicMs() + ttlMs);
    return { outcome: "granted", leaseId: id, grantedMicro: answer.granted, needsCovered: answer.needsCovered, ttlMs };
  }

  function answerTo(path: string, { replicaId, requests, leases }: any) {
    endExpired();
    if (path === "/leases/grant") return { grants: requests.map((request: unknown) => grant(replicaId, request)) };
    const states = leases.map(({ leaseId, renew, returnMicro, recallAnswered, close }: any) => {
      const gone = model.sync(replicaId, { leaseId, renew, returned: returnMicro, recallAnswered, close });
      if (renew && !gone) expiresAtMs.set(leaseId, clock.monotonicMs() + ttlMs);
      return { gone, ttlMs };
    });
    return { leases: states, recalled: model.recalled(replicaId) };
  }

  const replicas = [0, 1, 2].map(() => {
    const replicaId = randomUUID();
    const state = { isCutOff: false };
    const billing = {
      async post(path: string, body: object) {
        const way = state.isCutOff ? "not called" : ways[calls++ % ways.length]!;
        await new Promise((resolve) => setTimeout(resolve, 5));
        const answer = way === "not called" ? undefined : answerTo(path, body);
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (way !== "answers") throw new EpithreError("unavailable", "no answer");
        return answer;
      },
      async close() {},
    } as unknown as InternalClient;
    return { state, leases: createLeases({ billing, clock, log: () => {}, replicaId }) as Leases };
  });

  const open: { accountId: string; amount: number; hold: Hold }[] = [];
  let taken = 0;

  /** What is held on a lease that lives is in the lease: whoever looks at the money sees it set aside. */
  function checkHolds(): void {
    endExpired();
    const held = new Map<string, number>();
    for (const { hold, amount } of open) held.set(hold.leaseId, (held.get(hold.leaseId) ?? 0) + amount);
    for (const [id, amount] of held) {
      const lease = model.lease(id);
      if (lease && !lease.expired) expect(lease.consumed + amount).toBeLessThanOrEqual(lease.granted);
    }
  }

  async function take(given: Step & { do: "take" }): Promise<void> {
    const sinceMs = clock.monotonicMs();
    try {
      const hold = await replicas[given.replica]!.leases.take(accounts[given.account]!, given.amount);
      endExpired();
      const lease = model.lease(hold.leaseId);
      // A hold is on a lease that lives, and of its own account.
      expect(lease).toMatchObject({ expired: false, accountId: accounts[given.account] });
      open.push({ accountId: accounts[given.account]!, amount: given.amount, hold });
      taken += 1;
      checkHolds();
    } catch (thrown) {
      if (!(thrown instanceof EpithreError)) throw thrown;
      expect(["insufficient_quota", "unavailable"]).toContain(thrown.kind);
    }
    expect(clock.monotonicMs() - sinceMs).toBeLessThanOrEqual(answeredWithinMs);
  }

  function end({ hold: at, share }: { hold: number; share: number }): void {
    const [ended] = open.splice(at % (open.length || 1), 1);
    if (!ended) return;
    endExpired();
    const lease = model.lease(ended.hold.leaseId);
    const lives = lease !== undefined && !lease.expired;
    const cost = Math.floor(ended.amount * share);
    const [result] = model.settle([{ requestId: randomUUID(), accountId: ended.accountId, leaseId: ended.hold.leaseId, cost, status: 200 }]);
    if (lives) expect(result!.charged).toBe(cost);
    ended.hold.release(result!.charged);
  }

  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  const takes: Promise<void>[] = [];

  async function run(given: Step): Promise<void> {
    if (given.do === "take") takes.push(take(given));
    else if (given.do === "end") end(given);
    else if (given.do === "pass") await pass(given.ms);
    else if (given.do === "top up") model.post(accounts[given.account]!, "top_up", given.amount, randomUUID());
    else replicas[given.replica]!.state.isCutOff = true;
    checkHolds();
  }

  /** Everything comes back: a replica that is alive gives it, and what a dead one had ends by itself. */
  async function finish(): Promise<void> {
    await pass(answeredWithinMs);
    await Promise.all(takes);
    while (open.length > 0) end({ hold: 0, share: 1 });
    const closing = Promise.all(replicas.map(({ leases }) => leases.close()));
    await pass(ttlMs + answeredWithinMs);
    await closing;
    endExpired();
    model.closeExpired();
    for (const id of accounts) expect(model.money(id)).toMatchObject({ leased: 0, consumedInLeases: 0 });
  }

  return { run, finish, taken: () => taken };
}

test(`createLeases() on three replicas spends only what lives and is theirs, over ${sequences} sequences (seed ${seed})`, async () => {
  console.info(`sequences of leases: EPITHRE_SEED=${seed}`);
  let taken = 0;
  const way = fc.oneof({ weight: 8, arbitrary: fc.constant<Way>("answers") }, fc.constantFrom<Way>("not called", "answer lost"));
  await fc.assert(
    fc.asyncProperty(fc.array(way, { minLength: 1, maxLength: 10 }), fc.array(step, { minLength: 1, maxLength: stepsMax }), async (ways, steps) => {
      const world = createWorld(ways);
      for (const one of steps) await world.run(one);
      await world.finish();
      taken += world.taken();
    }),
    { numRuns: sequences, seed },
  );
  expect(taken).toBeGreaterThan(sequences);
}, 120_000 * longFactor);
