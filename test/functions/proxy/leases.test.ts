import { afterEach, describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import type { Grant } from "../../../functions/billing/schema.ts";
import { createLeases, type Hold, type Leases } from "../../../functions/proxy/leases.ts";

const account = "019a0000-0000-7000-8000-000000000001";
const leaseId = "019a0000-0000-4000-8000-0000000000aa";

interface Line {
  leaseId: string;
  renew: boolean;
  returnMicro: number;
  recallAnswered: boolean;
  close: boolean;
}

let leases: Leases | undefined;
afterEach(async () => {
  await leases?.close();
});

/** Billing as plain functions: `grant` decides, calls and reports are kept. */
function harness(grant: (needsMicro: number[], wantMicro: number, call: number) => Grant, { gone = () => false as boolean, recall = () => false as boolean } = {}) {
  let nowMs = 1_000;
  const asked: { needsMicro: number[]; wantMicro: number; leaseId: string | null }[] = [];
  const reports: Line[] = [];
  let away = false;
  const billing = {
    async post(path: string, body: any) {
      if (away) throw new EpithreError("unavailable", "away");
      if (path === "/leases/grant") {
        return {
          grants: body.requests.map((request: any) => {
            asked.push(request);
            return grant(request.needsMicro, request.wantMicro, asked.length);
          }),
        };
      }
      reports.push(...body.leases);
      return { leases: body.leases.map(() => ({ gone: gone(), ttlMs: 20_000 })), recalled: recall() ? [leaseId] : [] };
    },
    async close() {},
  } as unknown as InternalClient;
  leases = createLeases({ billing, clock: { monotonicMs: () => nowMs, wallMs: () => nowMs }, log: () => {} });
  return { leases, asked, reports, pass: (ms: number) => (nowMs += ms), goAway: (is: boolean) => (away = is) };
}

const granted = (grantedMicro: number, needsCovered = 1): Grant => ({ outcome: "granted", leaseId, grantedMicro, needsCovered, ttlMs: 20_000 });
const insufficient = (availableMicro: number): Grant => ({ outcome: "insufficient", availableMicro });

async function refusal(hold: Hold | Promise<Hold>): Promise<EpithreError> {
  return (await Promise.resolve(hold).then(
    () => undefined,
    (thrown) => thrown,
  )) as EpithreError;
}

describe("createLeases()", () => {
  test("asks once, then holds in memory until the lease is used up", async () => {
    const { leases, asked } = harness((needs, want) => granted(needs[0]! + want));
    (await leases.take(account, 10)).release(10);
    for (let index = 0; index < 20; index += 1) {
      const hold = leases.take(account, 10);
      expect(hold).not.toBeInstanceOf(Promise);
      (hold as Hold).release(10);
    }
    expect(asked).toHaveLength(1);
  });

  test("asks for more each time while a grant does not last, and for less when it does", async () => {
    const { leases, asked, pass } = harness((needs, want) => granted(needs[0]! + want));
    const spend = async (ms: number) => {
      const grants = asked.length;
      while (asked.length === grants) (await leases.take(account, 10)).release(10);
      await new Promise((resolve) => setImmediate(resolve));
      pass(ms);
    };
    for (let round = 0; round < 4; round += 1) await spend(10);
    const wants = asked.map(({ wantMicro }) => wantMicro);
    expect(wants).toEqual(wants.toSorted((one, other) => one - other));
    expect(wants.at(-1)!).toBeGreaterThanOrEqual(4 * wants[0]!);
    pass(6_000);
    await spend(10);
    expect(asked.at(-1)!.wantMicro).toBeLessThan(wants.at(-1)!);
  });

  test("holds no more than was granted, and refuses the rest at once", async () => {
    const { leases } = harness((needs, _, call) => (call === 1 ? granted(needs.slice(0, 10).reduce((sum, need) => sum + need), 10) : insufficient(0)));
    const takes = Array.from({ length: 30 }, () => Promise.resolve(leases.take(account, 7)));
    const results = await Promise.allSettled(takes);
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(10);
    for (const result of results) if (result.status === "rejected") expect(result.reason.status).toBe(402);
  });

  test("takes no hold that is not a number of micro-rupiah", () => {
    const { leases } = harness(() => granted(1_000));
    for (const amount of [Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY]) expect(() => leases.take(account, amount)).toThrow(RangeError);
  });

  test("gives what was not charged to the next hold", async () => {
    const { leases } = harness((needs, _, call) => (call === 1 ? granted(needs[0]!) : insufficient(0)));
    const first = await leases.take(account, 100);
    expect((await refusal(leases.take(account, 1))).kind).toBe("insufficient_quota");
    first.release(40);
    first.release(0);
    expect((await refusal(leases.take(account, 61))).kind).toBe("insufficient_quota");
    const second = leases.take(account, 60);
    expect(second).not.toBeInstanceOf(Promise);
  });

  test("holds as much as fits where the caller takes less, and refuses the others", async () => {
    let availableMicro = 70;
    const { leases } = harness((needs) => {
      if (needs[0]! > availableMicro) return insufficient(availableMicro);
      availableMicro -= needs[0]!;
      return granted(needs[0]!);
    });
    const fitted: (number | undefined)[] = [];
    const fit = (spareMicro: number) => {
      fitted.push(spareMicro >= 20 ? Math.floor(spareMicro / 20) * 20 : undefined);
      return fitted.at(-1);
    };
    const takes = [leases.take(account, 100, undefined, fit), leases.take(account, 100), leases.take(account, 100, undefined, fit)];
    const results = await Promise.allSettled(takes);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    // Both saw 70 and took 60 of them; the second found the first there before it.
    expect(fitted).toEqual([60, 60, undefined]);
    expect(availableMicro).toBe(10);
  });

  test("spends nothing of a lease whose time has passed here, well before the database ends it", async () => {
    const { leases, asked, pass } = harness((needs, want) => granted(needs[0]! + want));
    (await leases.take(account, 10)).release(0);
    pass(14_999);
    expect(leases.take(account, 10)).not.toBeInstanceOf(Promise);
    pass(2);
    expect(leases.take(account, 10)).toBeInstanceOf(Promise);
    await expect.poll(() => asked).toHaveLength(2);
    // A lease that still lives is extended: its running holds keep it.
    expect(asked[1]!.leaseId).toBe(leaseId);
  });

  test("renews the lease of a running stream, returns idle money when recalled, and closes what nobody uses", async () => {
    let wanted = false;
    const { leases, reports, pass } = harness((needs, want) => granted(needs[0]! + want), { recall: () => wanted });
    const hold = await leases.take(account, 10);
    pass(9_000);
    await expect.poll(() => reports.find((line) => line.renew && !line.close)).toBeDefined();
    wanted = true;
    await expect.poll(() => reports.find((line) => line.recallAnswered)).toMatchObject({ returnMicro: 10 * 64, close: false });
    wanted = false;
    hold.release(10);
    pass(6_000);
    await expect.poll(() => reports.at(-1)).toMatchObject({ close: true });
    expect(leases.open).toBe(0);
  });

  test("keeps a lease of its own for a key with a budget, and says what stands in the way", async () => {
    const renewsAtMs = Date.parse("2026-12-01T00:00:00Z");
    const { leases, asked } = harness((needs, _, call) => (call < 3 ? granted(needs[0]!) : { outcome: "over_budget", availableMicro: 20_000, renewsAtMs }));
    const keyId = "019a0000-0000-7000-8000-000000000002";
    await leases.take(account, 10);
    (await leases.take(account, 30, keyId)).release(30);
    expect(asked.map((request: any) => [request.accountId, request.keyId, request.leaseId])).toEqual([
      [account, undefined, null],
      [account, keyId, null],
    ]);
    const error = await refusal(leases.take(account, 50_000, keyId));
    expect([error.kind, error.status]).toEqual(["budget_exceeded", 402]);
    expect(error.message).toContain("0.02 rupiah left of the key's monthly budget, 0.05 rupiah needed. It renews at 2026-12-01T00:00:00.000Z");
    // The budget of one key stands in the way of no other.
    expect(leases.open).toBe(2);
  });

  test("waits while others are asked for their idle money, and for billing to come back", async () => {
    const { leases, goAway, pass } = harness((needs, _, call) => (call < 3 ? { outcome: "recalling", retryMs: 1 } : granted(needs[0]!)));
    const first = Promise.resolve(leases.take(account, 5));
    const advance = setInterval(() => pass(50), 5);
    await first;
    goAway(true);
    const error = await refusal(leases.take(account, 5));
    clearInterval(advance);
    expect(error.status).toBe(503);
    expect(error.detail.retryAfterS).toBeGreaterThan(0);
  });
});
