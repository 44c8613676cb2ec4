/** An account that shows signs of abuse is slowed down, all its keys together, until a time that every refusal names. */
import { EpithreError } from "#shared/errors.ts";
import type { Throttle, Verdict } from "../key-auth/schema.ts";
import type { Rate } from "./rate-slices.ts";

const reasons: Record<Throttle["signal"], string> = {
  errors: "most of its calls were refused for what was in them",
  left: "most of its calls were left before their end",
  rate_limit: "its keys were at their limits for long",
};

/** The rate that the account has besides those of its keys; it ends by itself. */
export function throttleRate({ throttle }: Verdict, nowMs: number): Rate | undefined {
  if (!throttle || throttle.endsAtMs <= nowMs) return undefined;
  return { keyId: throttle.keyId, unit: "throttle", perMinute: throttle.requestsPerMinute };
}

export function throttled({ requestsPerMinute, signal, endsAtMs }: Throttle, waitMs: number, headers: Record<string, string>): EpithreError {
  const retryAfterS = Math.ceil(waitMs / 1_000);
  const until = new Date(endsAtMs).toISOString().replace(/\.\d+/, "");
  return new EpithreError(
    "rate_limit_exceeded",
    `Cannot take this request now: the account is limited to ${requestsPerMinute} requests a minute until ${until}, for ${reasons[signal]}. ` +
      `Try again in ${retryAfterS} s; if this is a mistake, write to hello@epithre.com.`,
    { retryAfterS, headers },
  );
}
