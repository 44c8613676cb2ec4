/** Everything that the proxy is configured by. */
import { z } from "zod";
import { backendsSetting } from "#shared/backends.ts";
import { secret, setting } from "#shared/config.ts";
import { DigestChainText } from "#shared/digest-chain.ts";

const milliseconds = (fallback: number) => z.coerce.number().int().positive().default(fallback);

export const configShape = {
  keyAuthUrl: setting("key_auth_url", z.url()),
  billingUrl: setting("billing_url", z.url()),
  usageRecordUrl: setting("usage_record_url", z.url()),
  backends: setting("backends", backendsSetting),
  /** The longest stream. Every time-out outside the proxy must exceed it. */
  streamLimitMs: setting("stream_limit_ms", milliseconds(15 * 60_000)),
  /** From the request to the engine's first byte; a whole JSON answer is generated within it. */
  firstByteTimeoutMs: setting("first_byte_timeout_ms", milliseconds(10 * 60_000)),
  /** Between two chunks of an answer. */
  idleTimeoutMs: setting("idle_timeout_ms", milliseconds(60_000)),
  /** All request bodies held at once, in bytes; beyond it callers get 503. */
  bodyBudgetBytes: setting("body_budget_bytes", z.coerce.number().int().positive().default(256 * 1024 * 1024)),
  cacheSalt: secret("cache-salt"),
  /** Where the daily keys of Idempotency-Keys' digests come from; rotated by `infra/rotate-digest-chain.ts`. */
  digestChain: secret("digest-chain", DigestChainText),
  edgeKeyAuth: secret("edge-proxy-key-auth"),
  edgeBilling: secret("edge-proxy-billing"),
  edgeUsageRecord: secret("edge-proxy-usage-record"),
};
