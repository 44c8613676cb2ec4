import { run, serve } from "openfaas-node";
import { BalanceAnswer } from "../billing/schema.ts";
import { createDatabaseClock, systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createBackends } from "./backends.ts";
import { bodyBytesMax, createBodyBudget } from "./body.ts";
import { createCacheSalts } from "./call.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";
import { createClaims, createDigests } from "./idempotency.ts";
import { createInspector } from "./inspector.ts";
import { createLeases } from "./leases.ts";
import { createMetrics } from "./metrics.ts";
import { createPriceBook } from "./price-book.ts";
import { createRateLimits } from "./rate-limits.ts";
import { createRateSlices } from "./rate-slices.ts";
import { createRunningCalls } from "./running-calls.ts";
import { createSettlements } from "./settlements.ts";
import { createVerdicts } from "./verdicts.ts";

/** Milliseconds for the caller's own balance. */
const balanceTimeoutMs = 2_000;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("proxy");
  const clock = createDatabaseClock(systemClock);
  const from = "proxy";
  const keyAuth = createInternalClient({ from, to: "key-auth", url: config.keyAuthUrl, edgeSecret: config.edgeKeyAuth });
  const billing = createInternalClient({ from, to: "billing", url: config.billingUrl, edgeSecret: config.edgeBilling });
  const usageRecord = createInternalClient({
    from,
    to: "usage-record",
    url: config.usageRecordUrl,
    edgeSecret: config.edgeUsageRecord,
  });

  const runningCalls = createRunningCalls();
  const bodies = createBodyBudget(config.bodyBudgetBytes);
  const leases = createLeases({ billing, clock, log });
  const metrics = createMetrics({
    runningCalls: () => runningCalls.count,
    openLeases: () => leases.open,
    waitingSettlements: () => settlements.waiting,
    bodyBytes: () => bodies.usedBytes,
    engines: () => backends.states(),
  });
  const settlements = createSettlements({
    usageRecord,
    clock,
    log,
    runningCalls: () => runningCalls.count,
    onOutcome: metrics.settled,
  });
  const backends = createBackends({
    configs: config.backends,
    firstByteTimeoutMs: config.firstByteTimeoutMs,
    idleTimeoutMs: config.idleTimeoutMs,
    clock,
    log,
  });
  const verdicts = createVerdicts({
    keyAuth,
    clock,
    log,
    onAccountStopped: (accountId) => runningCalls.cutAccount(accountId),
    onDatabaseTime: (nowMs) => clock.correct(nowMs),
  });
  const slices = createRateSlices({ keyAuth, clock });
  const priceBook = createPriceBook(billing);
  const inspector = createInspector();

  return serve({
    name: "proxy",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    nodeHandler: createHandler({
      verdicts,
      priceBook,
      rateLimits: createRateLimits({ slices, clock }),
      bodies,
      inspector,
      leases,
      backends,
      settlements,
      claimOf: createClaims({ usageRecord, digestsOf: createDigests(config.digestChain, clock), streamLimitMs: config.streamLimitMs }),
      runningCalls,
      balanceOf: (accountId, keyId) => billing.post("/balance", { accountId, keyId }, BalanceAnswer, balanceTimeoutMs),
      metrics,
      clock,
      cacheSaltOf: createCacheSalts(config.cacheSalt),
      streamLimitMs: config.streamLimitMs,
    }),
    metrics: metrics.text,
    async onStop() {
      await settlements.drained();
      await Promise.all([leases.close(), slices.close()]);
      verdicts.close();
      priceBook.close();
      await Promise.all([inspector.close(), backends.close(), keyAuth.close(), billing.close(), usageRecord.close()]);
    },
  });
});
