/**
 * Requests and tokens per minute of each key, and of an account that is throttled, over all replicas. Tokens are taken before a call by what it is likely to
 * use, and put right when its use is known; nothing about use stays beyond two minutes.
 */
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Verdict } from "../key-auth/schema.ts";
import type { Rate, RateSlices } from "./rate-slices.ts";
import type { FlatHeaders } from "./responses.ts";
import { throttled, throttleRate } from "./throttle.ts";

/** Tokens taken for one call. */
export interface TokensTaken {
  /** How many it used. Later calls do nothing. */
  release(used: number): void;
}

export interface RateLimits {
  /** Takes one request; synchronous while this replica has a slice. Throws `rate_limit_exceeded` or `unavailable`. */
  takeRequest(verdict: Verdict): undefined | Promise<undefined>;
  /**
   * Takes the tokens that a call is likely to use, the whole minute's where it is likely to use more. Throws as
   * `takeRequest`.
   */
  takeTokens(verdict: Verdict, likely: number): TokensTaken | Promise<TokensTaken>;
  /** The `x-ratelimit-*` headers, name and value in turn. */
  headersOf(verdict: Verdict): FlatHeaders;
}

const noTokens: TokensTaken = { release() {} };

export function createRateLimits({ slices, clock }: { slices: RateSlices; clock: Clock }): RateLimits {
  function headersOf(verdict: Verdict): FlatHeaders {
    const requests = verdict.throttle ? (throttleRate(verdict, clock.wallMs()) ?? requestsOf(verdict)) : requestsOf(verdict);
    return [requests, tokensOf(verdict)].flatMap((rate) => (rate ? lines(rate, slices.stateOf(rate)) : []));
  }

  /** Throws when it is not taken; `waitMs` is what the slices have said. */
  function check(waitMs: number, verdict: Verdict, { unit, perMinute }: Rate): void {
    if (waitMs === 0) return;
    const retryAfterS = Math.ceil(waitMs / 1_000);
    throw new EpithreError(
      "rate_limit_exceeded",
      `Cannot take this request now: the key's limit is ${perMinute} ${unit} a minute. Try again in ${retryAfterS} s.`,
      { retryAfterS, headers: headerObject(headersOf(verdict)) },
    );
  }

  function take<Taken>(verdict: Verdict, rate: Rate, amount: number, taken: () => Taken): Taken | Promise<Taken> {
    const waitMs = slices.take(rate, amount);
    const finish = (answered: number) => {
      check(answered, verdict, rate);
      return taken();
    };
    return typeof waitMs === "number" ? finish(waitMs) : waitMs.then(finish);
  }

  /** The account's own rate comes first: what it refuses costs the key nothing. */
  async function takeThrottled(verdict: Verdict, throttle: Rate): Promise<undefined> {
    const waitMs = await slices.take(throttle, 1);
    if (waitMs > 0) throw throttled(verdict.throttle!, waitMs, headerObject(headersOf(verdict)));
    const rate = requestsOf(verdict);
    return rate && take(verdict, rate, 1, () => undefined);
  }

  return {
    takeRequest(verdict) {
      const throttle = verdict.throttle && throttleRate(verdict, clock.wallMs());
      if (throttle) return takeThrottled(verdict, throttle);
      const rate = requestsOf(verdict);
      return rate && take(verdict, rate, 1, () => undefined);
    },
    takeTokens(verdict, likely) {
      const rate = tokensOf(verdict);
      if (!rate) return noTokens;
      const amount = Math.min(likely, rate.perMinute);
      return take(verdict, rate, amount, () => {
        const takenAtMs = clock.monotonicMs();
        let open = true;
        return {
          release(used) {
            if (open) slices.correct(rate, used - amount, takenAtMs);
            open = false;
          },
        };
      });
    },
    headersOf,
  };
}

function requestsOf({ keyId, requestsPerMinute }: Verdict): Rate | undefined {
  return requestsPerMinute === null ? undefined : { keyId, unit: "requests", perMinute: requestsPerMinute };
}

function tokensOf({ keyId, tokensPerMinute }: Verdict): Rate | undefined {
  return tokensPerMinute === null ? undefined : { keyId, unit: "tokens", perMinute: tokensPerMinute };
}

function lines({ unit, perMinute }: Rate, { remaining, resetMs }: { remaining: number; resetMs: number }): FlatHeaders {
  const what = unit === "throttle" ? "requests" : unit;
  return [
    `x-ratelimit-limit-${what}`,
    String(perMinute),
    `x-ratelimit-remaining-${what}`,
    String(remaining),
    `x-ratelimit-reset-${what}`,
    formatSpan(resetMs),
  ];
}

/** As OpenAI writes it: `120ms`, `7s`, `1m0s`. */
export function formatSpan(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1_000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

function headerObject(flat: FlatHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index < flat.length; index += 2) headers[flat[index]!] = flat[index + 1]!;
  return headers;
}
