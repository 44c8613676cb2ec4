/** What may enter and leave key-auth. */
import { z } from "zod";
import { scopes } from "#shared/policy.ts";

/** Keys asked about in one call: a proxy batches the misses that come while one call is under way. */
export const verdictsPerCallMax = 256;

/** SHA-256 of an API key, in lower-case hex: all that leaves the proxy of a key (sec.key). */
export const KeyHash = z.string().regex(/^[0-9a-f]{64}$/);

/** While the account shows signs of abuse: what all its keys together may ask for, counted as one key's limit. */
export const Throttle = z.strictObject({
  keyId: z.uuid(),
  requestsPerMinute: z.int().positive(),
  signal: z.enum(["errors", "left", "rate_limit"]),
  endsAtMs: z.int(),
});
export type Throttle = z.output<typeof Throttle>;

/** What a key may do. Limits are per key; `null` means none. The budget is a decimal string: it can exceed 2^53. */
export const Verdict = z.strictObject({
  keyId: z.uuid(),
  accountId: z.uuid(),
  accountStatus: z.enum(["active", "suspended", "closed"]),
  scopes: z.array(z.enum(scopes)),
  models: z.array(z.string()).nullable(),
  expiresAtMs: z.int().nullable(),
  requestsPerMinute: z.int().positive().nullable(),
  tokensPerMinute: z.int().positive().nullable(),
  monthlyBudgetMicro: z.string().regex(/^\d+$/).nullable(),
  throttle: Throttle.optional(),
});
export type Verdict = z.output<typeof Verdict>;

export const VerdictsRequest = z.strictObject({ hashes: z.array(KeyHash).min(1).max(verdictsPerCallMax) });

/** In the order of the request; `null` for a hash that no live key has (unknown and revoked look the same). */
export const VerdictsAnswer = z.strictObject({ verdicts: z.array(Verdict.nullable()) });

/** `cursor: null` asks for a cursor to start from. */
export const ChangesRequest = z.strictObject({ cursor: z.string().max(64).nullable() });

/**
 * Everything that changed since the cursor, in commit order; a change can come twice, never not at all.
 * `reset` says that too much changed to list: forget every verdict.
 */
export const ChangesAnswer = z.strictObject({
  cursor: z.string(),
  databaseNowMs: z.number(),
  reset: z.boolean(),
  keyHashes: z.array(KeyHash),
  accounts: z.array(z.strictObject({ accountId: z.uuid(), status: z.enum(["active", "suspended", "closed"]) })),
});
export type ChangesAnswer = z.output<typeof ChangesAnswer>;

/** Slices that one call asks for: a proxy batches what it asks at once. */
export const slicesPerCallMax = 256;
/** Seconds that corrections can be old: beyond the minute nothing counts any more. */
export const correctionsMax = 64;

const units = z.int().min(0);

/**
 * Slices of keys' limits; `throttle` is the one that an account's keys share. `first` is the least that is of use, `waiting` what waits for it, `ahead` what the replica
 * would like beyond that. A correction says of what was taken so many seconds ago how much more (or, below zero, less)
 * was used.
 */
export const SlicesRequest = z.strictObject({
  slices: z
    .array(
      z.strictObject({
        keyId: z.uuid(),
        unit: z.enum(["requests", "tokens", "throttle"]),
        first: units,
        waiting: units,
        ahead: units,
        corrections: z.array(z.strictObject({ ageS: units, amount: z.int() })).max(correctionsMax),
      }),
    )
    .min(1)
    .max(slicesPerCallMax),
});

/**
 * In the order of the request. `remaining` is in nobody's slice; `waitMs` until `first` will fit, 0 where it was
 * granted; `resetMs` until nothing of the limit counts as used.
 */
export const SlicesAnswer = z.strictObject({
  slices: z.array(z.strictObject({ granted: units, remaining: units, waitMs: units, resetMs: units })),
});
export type SlicesAnswer = z.output<typeof SlicesAnswer>;
