/** Everything that the proxy is configured by. */
import { z } from "zod";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { DigestChainText } from "#shared/digest-chain.ts";
import { mayBePrivate } from "./private-address.ts";

/**
 * `models: null` takes every model of the price book. `type` decides which fields the engine may see: `vllm` and
 * `simulated` take vLLM's extensions and report usage in every chunk, `openai` takes OpenAI's own fields only.
 */
const Backend = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).refine(mayBePrivate, "names a backend on a public address: engines stand on the private network"),
  models: z.array(z.string()).nullable(),
  type: z.enum(["vllm", "openai", "simulated"]),
});
export type BackendConfig = z.output<typeof Backend>;

const milliseconds = (fallback: number) => z.coerce.number().int().positive().default(fallback);

export const configShape = {
  keyAuthUrl: setting("key_auth_url", z.url()),
  billingUrl: setting("billing_url", z.url()),
  usageRecordUrl: setting("usage_record_url", z.url()),
  backends: setting("backends", jsonSetting(z.array(Backend).min(1).max(64))),
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
