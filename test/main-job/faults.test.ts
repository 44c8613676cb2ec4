/** What is killed in the middle of traffic comes back by itself; nothing acknowledged is lost, nothing billed twice. */
import { connect as connectTcp } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "#shared/db.ts";
import { balanceOf, newCustomer, settled, usageOf, type Customer } from "../support/shared-stack.ts";
import { startStack, type OwnedStack } from "../support/stack.ts";
import { chatBody, send, startLoad, type Outcome } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const callers = 8;
const creditMicro = 50_000_000_000;
const killsOfEach = 3;
/** Milliseconds after a kill within which calls may still be answered from before it. */
const settlingMs = 300;
/** Milliseconds that Postgres is kept down. */
const outageMs = 5_000;
/** Milliseconds after the outage's beginning from which every answer must be a refusal: what was fresh is stale. */
const staleMs = 1_500;
/** Milliseconds after its return within which goodput is back: the number. */
const backWithinMs = 2_000;
/** Milliseconds for a supervised process to be back, its restart delayed. */
const restartMs = 30_000;

let stack: OwnedStack;

beforeAll(async () => {
  stack = await startStack();
}, 180_000);
afterAll(() => stack.stop(), 60_000);

/** JSON calls and streams in turn. */
function mixedLoad(customer: Customer) {
  let turn = 0;
  return startLoad(callers, () => {
    turn += 1;
    const stream = turn % 2 === 0 ? { stream: true, stream_options: { include_usage: true } } : {};
    return { url: stack.url, key: customer.key, body: chatBody("[[simulate tokens=8]] load", stream) };
  });
}

const complete = (outcomes: readonly Outcome[]) => outcomes.filter((outcome) => outcome.complete);

/**
 * Every answer that ended well is in the books once, as told; the balance is the credit minus the books. Only a proxy
 * that dies between commit and answer can leave an answer that was paid for and not delivered: `undeliveredMax`.
 */
async function expectBooksToAgree(customer: Customer, outcomes: Outcome[], undeliveredMax = 0): Promise<void> {
  await settled(stack);
  const rows = await usageOf(stack, customer.accountId);
  const byId = new Map(rows.map((row) => [row.id as string, row]));
  const lost = complete(outcomes).filter(({ requestId, usage }) => {
    const row = byId.get(requestId!);
    return !row || row.status !== 200 || row.cost_micro !== BigInt(usage!.cost_micro_rupiah);
  });
  expect(lost).toEqual([]);
  // A call whose answer was withheld may be in the books as delivered in part or as void, never as a whole answer
  // that the caller was told to try again.
  const acknowledged = new Set(complete(outcomes).map(({ requestId }) => requestId));
  const seen = new Map(outcomes.map((outcome) => [outcome.requestId, outcome]));
  const unearned = rows.filter((row) => !acknowledged.has(row.id) && row.cost_micro > 0n && (seen.get(row.id)?.deltas ?? 0) === 0);
  expect(unearned.slice(undeliveredMax)).toEqual([]);
  const spent = rows.reduce((sum, row) => sum + (row.cost_micro as bigint), 0n);
  expect(await balanceOf(stack, customer.accountId)).toBe(BigInt(creditMicro) - spent);
}

describe("kill -9 in the middle of traffic", () => {
  it.each(["usage-record", "billing", "key-auth", "proxy", "simulated-backend", "Postgres"])("%s", async (name) => {
    const customer = await newCustomer(stack, {}, creditMicro);
    const pidOf = () => (name === "Postgres" ? stack.postgresPid() : stack.pidOf(name));
    const load = mixedLoad(customer);
    await waitFor("traffic", () => complete(load.outcomes).length > 100);

    for (let kills = 0; kills < killsOfEach; kills += 1) {
      const killed = await waitFor(`${name} to run`, pidOf, restartMs);
      process.kill(killed, "SIGKILL");
      const killedAtMs = performance.now();
      await waitFor(`${name} to be back`, () => pidOf() !== undefined && pidOf() !== killed, restartMs);
      const begunLater = () => complete(load.outcomes).filter((each) => each.startedAtMs > killedAtMs + settlingMs);
      await waitFor("calls begun later to succeed again", () => begunLater().length > 100, restartMs);
    }

    const outcomes = await load.stop();
    if (name !== "proxy") expect(outcomes.filter((each) => !each.complete && each.errorCode === undefined)).toEqual([]);
    await expectBooksToAgree(customer, outcomes, name === "proxy" ? callers * killsOfEach : 0);
  }, 90_000);
});

describe("kill -9 of the whole stack in the middle of traffic", () => {
  it("the next start finds everything that was acknowledged, billed once", async () => {
    const customer = await newCustomer(stack, {}, creditMicro);
    const load = mixedLoad(customer);
    await waitFor("traffic", () => complete(load.outcomes).length > 100);
    await stack.kill();
    const outcomes = await load.stop();

    stack = await startStack({ dataDir: stack.dataDir });
    await expectBooksToAgree(customer, outcomes, callers);
    expect(await send({ url: stack.url, key: customer.key, body: chatBody("again") })).toMatchObject({ complete: true });
  }, 180_000);
});

describe("while Postgres is down for 5 s", () => {
  it("callers get OpenAI-style 503s with retry-after, and goodput is back within 2 s of its return", async () => {
    const customer = await newCustomer(stack, {}, creditMicro);
    const load = mixedLoad(customer);
    await waitFor("traffic", () => complete(load.outcomes).length > 200);
    const rateBefore = complete(load.outcomes).length / ((performance.now() - load.outcomes[0]!.startedAtMs) / 1_000);

    const downAtMs = performance.now();
    const outage = keepPostgresDown();
    await waitFor("what was fresh to be stale", () => performance.now() > downAtMs + staleMs);
    // The callers of the load wait for calls of the outage's first moment to be settled; these come later.
    const late = startLoad(2, () => ({ url: stack.url, key: customer.key, body: chatBody("during the outage") }));
    await outage;
    const outageEndMs = performance.now();
    await postgresAnswers();
    const backAtMs = performance.now();
    await waitFor("the seconds after its return", () => performance.now() > backAtMs + backWithinMs + 2_000, 20_000);
    const outcomes = [...(await load.stop()), ...(await late.stop())].sort((one, other) => one.endedAtMs - other.endedAtMs);

    const during = outcomes.filter((each) => each.startedAtMs > downAtMs + staleMs && each.endedAtMs < outageEndMs);
    expect(during.length).toBeGreaterThan(10);
    expect(during.filter(({ status, retryAfter, errorCode }) => status !== 503 || retryAfter === undefined || errorCode === undefined)).toEqual([]);
    const failed = outcomes.filter((each) => each.startedAtMs > downAtMs - 100 && !each.complete);
    expect(new Set(failed.map(({ errorCode }) => errorCode))).toEqual(new Set(["not_settled", "service_unavailable"]));

    const recovered = complete(outcomes).filter((each) => each.endedAtMs > backAtMs);
    expect(recovered[0]!.endedAtMs - backAtMs).toBeLessThan(backWithinMs);
    const steady = recovered.filter((each) => each.endedAtMs > backAtMs + backWithinMs && each.endedAtMs < backAtMs + backWithinMs + 2_000);
    expect(steady.length / 2).toBeGreaterThan(rateBefore / 2);
    await expectBooksToAgree(customer, outcomes);
  }, 120_000);
});

/** Kills each Postgres that is started, for as long as the outage lasts. */
async function keepPostgresDown(): Promise<void> {
  const endMs = performance.now() + outageMs;
  await waitFor(
    "the outage to pass",
    () => {
      const pid = stack.postgresPid();
      try {
        if (pid !== undefined) process.kill(pid, "SIGKILL");
      } catch {
        // That one is dead already.
      }
      return performance.now() > endMs;
    },
    outageMs + 5_000,
  );
}

async function postgresAnswers(): Promise<void> {
  const port = Number(new URL(stack.databaseUrl).port);
  const listens = async () => {
    const socket = connectTcp(port, "127.0.0.1");
    const answered = await Promise.race([once(socket, "connect").then(() => true), once(socket, "error").then(() => false)]).catch(() => false);
    socket.destroy();
    return answered;
  };
  await waitFor("Postgres to listen", listens, restartMs);
  const sql = connect({ url: stack.databaseUrl, connections: 1 });
  await waitFor("Postgres to answer", () => sql`select 1`.then(() => true, () => false), restartMs);
  await sql.end({ timeout: 1 });
}
