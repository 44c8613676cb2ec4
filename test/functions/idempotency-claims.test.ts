/** What the database makes of claims: one request with effect for each Idempotency-Key of an account. */
import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { connect } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { claimHours } from "#shared/stored-data.ts";
import { claim, releaseClaim, settle } from "../../functions/usage-record/queries.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";
import { addModel, voided } from "../support/accounts.ts";
import { addCaller, claimRequest, endOf, expireLease, newDigest } from "../support/claims.ts";
import { addLease } from "../support/leases.ts";
import { createTestDatabase } from "../support/database.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const usageRecord = connect({ url: database.urlFor("usage-record"), connections: 8 });
await addModel(owner, "test-chat");

afterAll(async () => {
  await usageRecord.end();
  await database.close();
});

const claimed = { outcome: "claimed" };

async function eventsOf(accountId: string) {
  return owner<{ id: string; cost: number; status: number }[]>`
    select id, cost_micro::int as cost, status::int as status from usage_events where account_id = ${accountId} order by id
  `;
}

/** The longest that this request could have run is over. */
const outrun = (requestId: string) => owner`
  update idempotency_claims set runs_until = now() - interval '1 ms' where request_id = ${requestId}`;

const claimsOf = (accountId: string) => owner`select * from idempotency_claims where account_id = ${accountId}`;

/** A claimed request that ended so, and a retry of it. */
async function ended(given: Partial<Settlement>) {
  const caller = await addCaller(owner);
  const digests = [newDigest()];
  const first = claimRequest(caller, digests);
  await claim(usageRecord, first);
  await settle(usageRecord, [endOf(first, given)]);
  return { first, retry: await claim(usageRecord, claimRequest(caller, digests)) };
}

describe("claim()", () => {
  test("is free once: then the request that has it runs, also for a retry whose answer was lost", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest(), newDigest()]);
    expect(await claim(usageRecord, first)).toEqual(claimed);
    expect(await claim(usageRecord, first)).toEqual(claimed);
    const { requestId } = first;
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toEqual({ outcome: "in_progress", requestId });
    expect(await claimsOf(caller.accountId)).toHaveLength(1);
  });

  test("is another thing for another account (keep.usage)", async () => {
    const digests = [newDigest()];
    for (const caller of [await addCaller(owner), await addCaller(owner)]) {
      expect(await claim(usageRecord, claimRequest(caller, digests))).toEqual(claimed);
    }
  });

  test("stores ids, times and the first digest (keep.closed, content.none)", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest(), newDigest()]);
    await claim(usageRecord, first);
    const [row] = await claimsOf(caller.accountId);
    expect(row).toEqual({
      account_id: first.accountId, digest: Buffer.from(first.digests[0]!, "hex"), request_id: first.requestId, key_id: first.keyId,
      lease_id: first.leaseId, model_id: expect.any(Number), endpoint: "chat.completions", price_version: 1,
      claimed_at: expect.any(Date), runs_until: new Date(row!.claimed_at.getTime() + first.runsMs),
    });
  });

  test.each([
    ["a whole answer", { status: 200 }, 1_000],
    ["a whole answer that cost nothing", { status: 200, costMicro: 0 }, 0],
    ["what a caller got that left", { status: 499 }, 1_000],
    ["what came before the engine broke off", { status: 502, costMicro: 7 }, 7],
  ])("names the request that ended with %s", async (_, given, chargedMicro) => {
    const { first, retry } = await ended(given);
    expect(retry).toEqual({ outcome: "completed", requestId: first.requestId, chargedMicro, status: given.status });
  });

  test.each([
    ["an engine that refused it", { status: 400, costMicro: 0 }],
    ["a caller that left before the answer", { status: 499, costMicro: 0 }],
    ["an engine that failed", { status: 502, costMicro: 0 }],
    ["a settlement that was given up", { status: 503, costMicro: 0 }],
  ])("goes to the retry after %s", async (_, given) => {
    expect((await ended(given)).retry).toEqual(claimed);
  });

  test("goes on to the next request when it is given back, and only by whoever has it", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()]);
    await claim(usageRecord, first);
    await releaseClaim(usageRecord, { ...first, requestId: randomUUID() });
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toMatchObject({ outcome: "in_progress" });
    await releaseClaim(usageRecord, first);
    const second = claimRequest(caller, first.digests);
    expect(await claim(usageRecord, second)).toEqual(claimed);
    await releaseClaim(usageRecord, first);
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toEqual({ outcome: "in_progress", requestId: second.requestId });
    await settle(usageRecord, [endOf(second)]);
    await releaseClaim(usageRecord, second);
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toMatchObject({ outcome: "completed" });
  });

  test("of a request whose lease is gone is taken over; its settlement comes too late and charges nothing", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()]);
    await claim(usageRecord, first);
    await expireLease(owner, caller.leaseId);
    const second = claimRequest({ ...caller, leaseId: await addLease(owner, caller.accountId) }, first.digests);
    expect(await claim(usageRecord, second)).toEqual(claimed);
    expect(await settle(usageRecord, [endOf(first)])).toEqual([{ outcome: "superseded", chargedMicro: 0 }]);
    expect(await settle(usageRecord, [endOf(second)])).toEqual([{ outcome: "settled", chargedMicro: 1_000 }]);
    expect(await eventsOf(caller.accountId)).toEqual([
      { id: first.requestId, cost: 0, status: 503 }, { id: second.requestId, cost: 1_000, status: 200 },
    ]);
  });

  test("of a request that outran the longest call is taken over, whatever else its lease is for", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()]);
    await claim(usageRecord, first);
    await outrun(first.requestId);
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toEqual(claimed);
    expect(await settle(usageRecord, [endOf(first)])).toEqual([{ outcome: "superseded", chargedMicro: 0 }]);
  });

  test("of a request that no settlement can be stored for is taken over", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()], { requestId: uuidv7(Date.now() + 100 * 24 * 3_600_000) });
    await claim(usageRecord, first);
    await outrun(first.requestId);
    expect(await claim(usageRecord, claimRequest(caller, first.digests))).toEqual(claimed);
    expect(await settle(usageRecord, [endOf(first)])).toEqual([{ outcome: "refused", chargedMicro: 0 }]);
  });

  test("is looked at without a lease: nothing is claimed, and what stands is told", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()]);
    const look = () => claim(usageRecord, claimRequest(caller, first.digests, { leaseId: null }));
    expect(await look()).toEqual({ outcome: "free" });
    expect(await claimsOf(caller.accountId)).toHaveLength(0);
    await claim(usageRecord, first);
    expect(await look()).toEqual({ outcome: "in_progress", requestId: first.requestId });
    await settle(usageRecord, [endOf(first)]);
    expect(await look()).toEqual({ outcome: "completed", requestId: first.requestId, chargedMicro: 1_000, status: 200 });
  });

  test("counts for a day, deleted or not; then the same header is a new thing (keep.usage)", async () => {
    const { first } = await ended({ status: 200 });
    const age = (ageOf: string) => owner`
      update idempotency_claims set claimed_at = now() - ${ageOf}::interval where account_id = ${first.accountId}`;
    const again = () => claim(usageRecord, { ...first, requestId: uuidv7(Date.now()) });
    await age(`${claimHours} hours -5 seconds`);
    expect(await again()).toMatchObject({ outcome: "completed" });
    await age(`${claimHours} hours`);
    expect(await again()).toEqual(claimed);
    expect(await claimsOf(first.accountId)).toHaveLength(1);
  });

  test("is found across midnight, under the name of the day before or of one that begins", async () => {
    const caller = await addCaller(owner);
    const [monday, tuesday, wednesday] = [newDigest(), newDigest(), newDigest()];
    const first = claimRequest(caller, [tuesday, monday]);
    await claim(usageRecord, first);
    for (const digests of [[wednesday, tuesday], [monday, tuesday]]) {
      expect(await claim(usageRecord, claimRequest(caller, digests))).toEqual({ outcome: "in_progress", requestId: first.requestId });
    }
  });

  test("goes to exactly one of many at once, also around midnight, and after a take-over", async () => {
    const caller = await addCaller(owner);
    const [yesterday, today] = [newDigest(), newDigest()];
    const rush = (leaseId: string) => Promise.all(Array.from({ length: 40 }, (_, index) => {
      const digests = index % 2 ? [today, yesterday] : [yesterday, today];
      return claim(usageRecord, claimRequest({ ...caller, leaseId }, digests));
    }));
    for (let round = 0; round < 3; round += 1) {
      const leaseId = await addLease(owner, caller.accountId);
      const answers = await rush(leaseId);
      expect(answers.filter(({ outcome }) => outcome === "claimed")).toHaveLength(1);
      expect(answers.filter(({ outcome }) => outcome === "in_progress")).toHaveLength(39);
      await expireLease(owner, leaseId);
    }
  });

  test("lets a take-over and the late settlement race: whichever commits first stands, never two charges", async () => {
    const outcomes = new Set<string>();
    for (let round = 0; round < 60; round += 1) {
      const caller = await addCaller(owner);
      const first = claimRequest(caller, [newDigest()]);
      await claim(usageRecord, first);
      await expireLease(owner, caller.leaseId);
      const second = claimRequest({ ...caller, leaseId: await addLease(owner, caller.accountId) }, first.digests);
      const late = () => settle(usageRecord, [endOf(first)]);
      const take = () => claim(usageRecord, second);
      const [answer, [settled]] = await (round % 2
        ? Promise.all([take(), late()])
        : Promise.all([late(), take()]).then(([one, two]) => [two, one] as const));
      outcomes.add(answer.outcome);
      if (answer.outcome === "claimed") expect(settled).toEqual({ outcome: "superseded", chargedMicro: 0 });
      else {
        expect(answer).toEqual({ outcome: "completed", requestId: first.requestId, chargedMicro: 1_000, status: 200 });
        expect(settled).toEqual({ outcome: "settled", chargedMicro: 1_000 });
      }
    }
    expect([...outcomes].sort()).toEqual(["claimed", "completed"]);
  });

  test("is refused when an account has made too many within an hour", async () => {
    const caller = await addCaller(owner);
    const next = (given = {}) => claim(usageRecord, claimRequest(caller, [newDigest()], given), 3);
    const first = claimRequest(caller, [newDigest()]);
    await claim(usageRecord, first, 3);
    expect([await next(), await next(), await next()]).toEqual([claimed, claimed, { outcome: "too_many" }]);
    // What is there already is told all the same.
    expect(await claim(usageRecord, claimRequest(caller, first.digests), 3)).toMatchObject({ outcome: "in_progress" });
    await owner`update idempotency_claims set claimed_at = now() - interval '61 minutes' where request_id = ${first.requestId}`;
    expect(await next()).toEqual(claimed);
  });

  test("of a request that was taken over from is void in the books by its own key, model, endpoint and price (keep.usage)", async () => {
    const caller = await addCaller(owner);
    const first = claimRequest(caller, [newDigest()], { endpoint: "images.edits", priceVersion: 7 });
    await claim(usageRecord, first);
    await outrun(first.requestId);
    await claim(usageRecord, claimRequest(caller, first.digests));
    const [event] = await owner`select * from usage_events where id = ${first.requestId}`;
    const asVoided = voided(endOf(first));
    expect(event).toMatchObject({
      account_id: asVoided.accountId, key_id: asVoided.keyId, endpoint: "images.edits", price_version: 7, cost_micro: 0n, prompt_tokens: 0,
    });
  });
});
