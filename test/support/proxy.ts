/** The proxy's handler on a real server, with the functions it calls as plain functions and a simulated engine. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { z } from "zod";
import { startSimulatedBackend } from "#infra/local/simulated-backend/backend.ts";
import { simulatedModels } from "#infra/local/simulated-backend/models.ts";
import { systemClock } from "#shared/clock.ts";
import { DigestChainText } from "#shared/digest-chain.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { generateKey, hashKey } from "#shared/keys.ts";
import type { Model } from "../../functions/billing/schema.ts";
import type { ChangesAnswer, SlicesRequest, Verdict } from "../../functions/key-auth/schema.ts";
import { createBackends } from "../../functions/proxy/backends.ts";
import { createBodyBudget } from "../../functions/proxy/body.ts";
import { createHandler } from "../../functions/proxy/handler.ts";
import { createClaims, createDigests } from "../../functions/proxy/idempotency.ts";
import { createInspector } from "../../functions/proxy/inspector.ts";
import { createLeases } from "../../functions/proxy/leases.ts";
import { createMetrics } from "../../functions/proxy/metrics.ts";
import { createPriceBook } from "../../functions/proxy/price-book.ts";
import { createRateLimits } from "../../functions/proxy/rate-limits.ts";
import { createRateSlices } from "../../functions/proxy/rate-slices.ts";
import { createRunningCalls } from "../../functions/proxy/running-calls.ts";
import { createSettlements } from "../../functions/proxy/settlements.ts";
import { createVerdicts } from "../../functions/proxy/verdicts.ts";
import type { ClaimAnswer, ClaimRelease, ClaimRequest, Settlement } from "../../functions/usage-record/schema.ts";

const renewsAtMs = Date.UTC(2026, 11);
export const accountId = "019a0000-0000-7000-8000-000000000001";
const price = { version: 1, effectiveAtMs: 0, inputMicro: 2, cachedInputMicro: 1, outputMicro: 5, imageMicro: 1_000, lines: [] };

type SlicesAsked = z.output<typeof SlicesRequest>;

export interface ProxySettings {
  backendUrls?: string[];
  bodyBudgetBytes?: number;
  firstByteTimeoutMs?: number;
  idleTimeoutMs?: number;
  streamLimitMs?: number;
  verdict?: Partial<Verdict>;
}

export async function startProxy(settings: ProxySettings = {}) {
  const engine = await startSimulatedBackend();
  const key = generateKey();
  const state = {
    /** What the account has; leases are granted from it. */
    availableMicro: 1e12,
    /** What the key's monthly budget has left, where it has one. */
    budgetMicro: 1e12,
    settlementsAway: false,
    changes: { keyHashes: [] as string[], accounts: [] as ChangesAnswer["accounts"] },
    /** Events as usage-record would have stored them. */
    events: [] as Settlement[],
    /** What has been used of the key's limits. */
    used: { requests: 0, tokens: 0, throttle: 0 },
    /** What usage-record was asked about Idempotency-Keys, and what it says next; then that the request may run. */
    claims: [] as ClaimRequest[],
    claimAnswers: [] as (ClaimAnswer | Error)[],
    releases: [] as ClaimRelease[],
  };
  const verdict: Verdict = {
    keyId: "019a0000-0000-7000-8000-000000000002",
    accountId,
    accountStatus: "active",
    scopes: ["chat", "embeddings", "images", "models", "usage"],
    models: null,
    expiresAtMs: null,
    requestsPerMinute: null,
    tokensPerMinute: null,
    monthlyBudgetMicro: null,
    ...settings.verdict,
  };
  const models: Model[] = simulatedModels.map((model) => ({ ...model, createdAtMs: 0, enabled: true, retirement: null, prices: [price] }));

  const answers: Record<string, (body: any) => unknown> = {
    "/changes": () => {
      const { changes } = state;
      state.changes = { keyHashes: [], accounts: [] };
      return { cursor: "1", databaseNowMs: Date.now(), reset: false, ...changes };
    },
    "/verdicts": ({ hashes }) => ({ verdicts: hashes.map((hash: string) => (hash === hashKey(key) ? verdict : null)) }),
    "/slices": ({ slices: asked }: SlicesAsked) => ({
      slices: asked.map(({ unit, first, waiting, corrections }) => {
        const limits = { requests: verdict.requestsPerMinute, tokens: verdict.tokensPerMinute, throttle: verdict.throttle?.requestsPerMinute };
        const limit = limits[unit]!;
        for (const { amount } of corrections) state.used[unit] += amount;
        const granted = first > limit - state.used[unit] ? 0 : Math.min(waiting, limit - state.used[unit]);
        state.used[unit] += granted;
        const waitMs = granted < first ? 30_000 : 0;
        return { granted, remaining: Math.max(0, limit - state.used[unit]), waitMs, resetMs: 60_500 };
      }),
    }),
    "/price-book": () => ({ models }),
    "/leases/grant": ({ requests }) => ({
      grants: requests.map(({ keyId, needsMicro }: { keyId?: string; needsMicro: number[] }) => {
        const needMicro = needsMicro[0]!;
        if (keyId && needMicro > state.budgetMicro) return { outcome: "over_budget", availableMicro: state.budgetMicro, renewsAtMs };
        if (needMicro > state.availableMicro) return { outcome: "insufficient", availableMicro: state.availableMicro };
        state.availableMicro -= needMicro;
        return { outcome: "granted", leaseId: verdict.keyId, grantedMicro: needMicro, needsCovered: 1, ttlMs: 20_000 };
      }),
    }),
    "/leases/sync": ({ leases }) => ({ leases: leases.map(() => ({ gone: false, ttlMs: 20_000 })), recalled: [] }),
    "/settlements": ({ settlements }: { settlements: Settlement[] }) => {
      if (state.settlementsAway) throw new EpithreError("unavailable", "away");
      state.events.push(...settlements);
      return { results: settlements.map(({ costMicro }) => ({ outcome: "settled", chargedMicro: costMicro })) };
    },
    "/claims": (claim: ClaimRequest) => {
      state.claims.push(claim);
      const answer = state.claimAnswers.shift() ?? { outcome: "claimed" };
      if (answer instanceof Error) throw answer;
      return answer;
    },
    "/claims/release": (release: ClaimRelease) => void state.releases.push(release),
  };
  const client = { post: async (path: string, body: unknown) => answers[path]!(body), close: async () => {} } as InternalClient;

  const log = () => {};
  const clock = systemClock;
  const runningCalls = createRunningCalls();
  const bodies = createBodyBudget(settings.bodyBudgetBytes ?? 256 * 1024 * 1024);
  const leases = createLeases({ billing: client, clock, log });
  const metrics = createMetrics({
    runningCalls: () => runningCalls.count,
    openLeases: () => leases.open,
    waitingSettlements: () => settlements.waiting,
    bodyBytes: () => bodies.usedBytes,
    engines: () => backends.states(),
  });
  const settlements = createSettlements({
    usageRecord: client,
    clock,
    log,
    runningCalls: () => runningCalls.count,
    onOutcome: metrics.settled,
  });
  const backends = createBackends({
    configs: (settings.backendUrls ?? [engine.url]).map((url) => ({ url, models: null, type: "simulated" as const })),
    firstByteTimeoutMs: settings.firstByteTimeoutMs ?? 5_000,
    idleTimeoutMs: settings.idleTimeoutMs ?? 5_000,
    clock,
    log,
  });
  const verdicts = createVerdicts({
    keyAuth: client,
    clock,
    log,
    onAccountStopped: (id) => runningCalls.cutAccount(id),
    onDatabaseTime: () => {},
  });
  const slices = createRateSlices({ keyAuth: client, clock });
  const priceBook = createPriceBook(client);
  const inspector = createInspector();
  const server = createServer(
    createHandler({
      verdicts,
      priceBook,
      rateLimits: createRateLimits({ slices, clock }),
      bodies,
      inspector,
      leases,
      backends,
      settlements,
      claimOf: createClaims({
        usageRecord: client,
        digestsOf: createDigests(DigestChainText.parse("a secret of tests"), clock),
        streamLimitMs: settings.streamLimitMs ?? 10_000,
      }),
      runningCalls,
      balanceOf: async (_accountId, keyId) => ({
        balanceMicro: "1500000",
        availableMicro: "1000000",
        ...(keyId ? { budget: { spentMicro: "250000", renewsAtMs } } : {}),
      }),
      metrics,
      clock,
      cacheSaltOf: () => "salt",
      streamLimitMs: settings.streamLimitMs ?? 10_000,
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url,
    key,
    engine,
    state,
    /** The price book: what is changed here the proxy knows within a second. */
    models,
    metrics,
    bodies,
    runningCalls,
    /** Posts JSON with the key. */
    post: (path: string, body: unknown, init: RequestInit = {}) =>
      fetch(url + path, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...(init.headers as Record<string, string>) },
      }),
    get: (path: string) => fetch(url + path, { headers: { authorization: `Bearer ${key}` } }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      verdicts.close();
      priceBook.close();
      await Promise.all([leases.close(), slices.close(), backends.close(), inspector.close()]);
      await engine.close();
    },
  };
}

export type TestProxy = Awaited<ReturnType<typeof startProxy>>;
