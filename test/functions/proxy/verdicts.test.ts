import { afterEach, describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { generateKey, hashKey } from "#shared/keys.ts";
import type { ChangesAnswer, Verdict } from "../../../functions/key-auth/schema.ts";
import { createVerdicts, type Verdicts } from "../../../functions/proxy/verdicts.ts";

const accountId = "019a0000-0000-7000-8000-000000000001";
const verdict: Verdict = {
  keyId: "019a0000-0000-7000-8000-000000000002",
  accountId,
  accountStatus: "active",
  scopes: ["chat"],
  models: null,
  expiresAtMs: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
  monthlyBudgetMicro: null,
};

let open: Verdicts | undefined;
afterEach(() => open?.close());

function harness() {
  let nowMs = 10_000;
  const state = {
    known: new Map<string, Verdict>(),
    changes: { keyHashes: [] as string[], accounts: [] as ChangesAnswer["accounts"], reset: false },
    away: false,
    polls: 0,
    lookups: 0,
    beforeLookupAnswers: async () => {},
  };
  const stopped: string[] = [];
  const keyAuth = {
    async post(path: string, body: any) {
      if (state.away) throw new EpithreError("unavailable", "away");
      if (path === "/changes") {
        state.polls += 1;
        const { changes } = state;
        state.changes = { keyHashes: [], accounts: [], reset: false };
        return { cursor: String(state.polls), databaseNowMs: nowMs, ...changes };
      }
      state.lookups += 1;
      const verdicts = body.hashes.map((hash: string) => state.known.get(hash) ?? null);
      await state.beforeLookupAnswers();
      return { verdicts };
    },
    async close() {},
  } as unknown as InternalClient;
  open = createVerdicts({
    keyAuth,
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    log: () => {},
    onAccountStopped: (id) => stopped.push(id),
    onDatabaseTime: () => {},
  });
  const key = generateKey();
  state.known.set(hashKey(key), verdict);
  return { verdicts: open, state, stopped, key, hash: hashKey(key), header: `Bearer ${key}`, pass: (ms: number) => (nowMs += ms) };
}

async function refusal(of: () => Verdict | Promise<Verdict>): Promise<EpithreError> {
  try {
    await of();
  } catch (thrown) {
    return thrown as EpithreError;
  }
  throw new Error("nothing was thrown");
}

describe("createVerdicts()", () => {
  test("asks once for a key and then knows it", async () => {
    const { verdicts, state, header } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    await Promise.all([verdicts.of(header), verdicts.of(header)]);
    expect(verdicts.of(header)).toBe(verdict);
    expect(state.lookups).toBe(1);
  });

  test("forgets a key that the feed names, within one poll (sec.key)", async () => {
    const { verdicts, state, header, hash } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    await verdicts.of(header);
    state.known.delete(hash);
    state.changes.keyHashes.push(hash);
    await expect.poll(() => refusalKind(verdicts, header)).toBe("invalid_api_key");
  });

  test("does not keep a verdict that changed while it was on its way", async () => {
    const { verdicts, state, header, hash } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    state.beforeLookupAnswers = async () => {
      state.beforeLookupAnswers = async () => {};
      state.known.delete(hash);
      state.changes.keyHashes.push(hash);
      const { polls } = state;
      await expect.poll(() => state.polls).toBeGreaterThan(polls + 1);
    };
    expect((await refusal(() => verdicts.of(header))).kind).toBe("invalid_api_key");
    expect(state.lookups).toBe(2);
  });

  test("ends running streams of a suspended account and refuses its calls", async () => {
    const { verdicts, state, stopped, header, hash } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    await verdicts.of(header);
    state.known.set(hash, { ...verdict, accountStatus: "suspended" });
    state.changes.accounts.push({ accountId, status: "suspended" });
    await expect.poll(() => stopped).toEqual([accountId]);
    expect((await refusal(() => verdicts.of(header))).kind).toBe("account_suspended");
  });

  test("trusts nothing once the feed has been silent for a second, and answers 503 with a time to come back", async () => {
    const { verdicts, state, header, pass } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    await verdicts.of(header);
    state.away = true;
    pass(1_001);
    const error = await refusal(() => verdicts.of(header));
    expect(error.status).toBe(503);
    expect(error.detail.retryAfterS).toBeGreaterThan(0);
    state.away = false;
    await expect.poll(() => verdicts.fresh).toBe(true);
    expect(await verdicts.of(header)).toEqual(verdict);
  });

  test("refuses expired, malformed and missing keys without asking anyone", async () => {
    const { verdicts, state, header, hash, key } = harness();
    await expect.poll(() => verdicts.fresh).toBe(true);
    expect((await refusal(() => verdicts.of(undefined))).kind).toBe("missing_api_key");
    const wrong = key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");
    for (const bad of ["Basic abc", "Bearer ", "Bearer sk-123", `Bearer ${wrong}`]) {
      expect((await refusal(() => verdicts.of(bad))).kind).toBe("invalid_api_key");
    }
    expect(state.lookups).toBe(0);
    state.known.set(hash, { ...verdict, expiresAtMs: 9_999 });
    expect((await refusal(() => verdicts.of(header))).kind).toBe("invalid_api_key");
  });
});

async function refusalKind(verdicts: Verdicts, header: string): Promise<string> {
  try {
    await verdicts.of(header);
    return "accepted";
  } catch (thrown) {
    return (thrown as EpithreError).kind;
  }
}
