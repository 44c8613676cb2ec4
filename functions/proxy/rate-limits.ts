/**
 * Requests and tokens per minute of each key, as token buckets in this process's memory: nothing about use is stored.
 * A bucket holds one minute's allowance and refills continuously. Tokens are taken when they are known, so a bucket
 * can go below zero once and the next call waits.
 */
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Verdict } from "../key-auth/schema.ts";

const minuteMs = 60_000;
/** Keys with a bucket in memory; the one that was refilled longest ago goes first. */
const bucketsMax = 100_000;

interface Bucket {
  requests: number;
  tokens: number;
  filledAtMs: number;
}

export interface RateLimits {
  /** Takes one request, or throws `rate_limit_exceeded`. Answers the `x-ratelimit-*` headers, name and value in turn. */
  take(verdict: Verdict): string[];
  spend(verdict: Verdict, tokens: number): void;
}

export function createRateLimits(clock: Clock): RateLimits {
  const buckets = new Map<string, Bucket>();

  function bucketOf({ keyId, requestsPerMinute, tokensPerMinute }: Verdict): Bucket {
    const nowMs = clock.monotonicMs();
    const bucket = buckets.get(keyId);
    if (!bucket) {
      if (buckets.size >= bucketsMax) buckets.delete(buckets.keys().next().value!);
      const full = { requests: requestsPerMinute ?? Infinity, tokens: tokensPerMinute ?? Infinity, filledAtMs: nowMs };
      buckets.set(keyId, full);
      return full;
    }
    const minutes = (nowMs - bucket.filledAtMs) / minuteMs;
    bucket.requests = refilled(bucket.requests, requestsPerMinute, minutes);
    bucket.tokens = refilled(bucket.tokens, tokensPerMinute, minutes);
    bucket.filledAtMs = nowMs;
    return bucket;
  }

  return {
    take(verdict) {
      const { requestsPerMinute, tokensPerMinute } = verdict;
      if (requestsPerMinute === null && tokensPerMinute === null) return [];
      const bucket = bucketOf(verdict);
      const waitS = Math.max(secondsUntil(bucket.requests, 1, requestsPerMinute), secondsUntil(bucket.tokens, 1, tokensPerMinute));
      if (waitS > 0) {
        const limited = bucket.requests < 1 ? "requests" : "tokens";
        const limit = limited === "requests" ? requestsPerMinute : tokensPerMinute;
        throw new EpithreError(
          "rate_limit_exceeded",
          `Cannot take this request now: the key's limit is ${limit} ${limited} a minute. Try again in ${waitS} s.`,
          { retryAfterS: waitS, headers: headerObject(headersOf(bucket, verdict)) },
        );
      }
      bucket.requests -= 1;
      return headersOf(bucket, verdict);
    },
    spend(verdict, tokens) {
      if (verdict.tokensPerMinute !== null) bucketOf(verdict).tokens -= tokens;
    },
  };
}

function refilled(left: number, perMinute: number | null, minutes: number): number {
  return perMinute === null ? Infinity : Math.min(perMinute, (Number.isFinite(left) ? left : perMinute) + perMinute * minutes);
}

/** Whole seconds until the bucket holds `wanted`; 0 when it does. */
function secondsUntil(left: number, wanted: number, perMinute: number | null): number {
  return perMinute === null || left >= wanted ? 0 : Math.ceil(((wanted - left) / perMinute) * 60);
}

function headersOf(bucket: Bucket, { requestsPerMinute, tokensPerMinute }: Verdict): string[] {
  return [
    ...lines("requests", bucket.requests, requestsPerMinute),
    ...lines("tokens", bucket.tokens, tokensPerMinute),
  ];
}

function lines(unit: string, left: number, perMinute: number | null): string[] {
  if (perMinute === null) return [];
  return [
    `x-ratelimit-limit-${unit}`,
    String(perMinute),
    `x-ratelimit-remaining-${unit}`,
    String(Math.max(0, Math.floor(left))),
    `x-ratelimit-reset-${unit}`,
    `${secondsUntil(left, perMinute, perMinute)}s`,
  ];
}

function headerObject(flat: string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index < flat.length; index += 2) headers[flat[index]!] = flat[index + 1]!;
  return headers;
}
