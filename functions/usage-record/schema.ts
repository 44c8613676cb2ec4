/** What may enter and leave usage-record: numbers and ids only (keep.usage), so a stray `prompt` is refused. */
import { z } from "zod";
import { endpoints } from "#shared/policy.ts";

/** Settlements in one call and one transaction: about 5 ms of the database's time. */
export const settlementsPerCallMax = 512;

/** The largest `integer` of Postgres. */
const integerMax = 2_147_483_647;

const tokens = z.int().min(0).max(integerMax);

/**
 * The end of one request. `requestId` is the proxy's UUIDv7 and the primary key of the usage event: whichever
 * settlement of an id commits first stays. A void one (unknown outcome given up) has status 503 and no cost.
 */
export const Settlement = z.strictObject({
  requestId: z.uuidv7(),
  accountId: z.uuid(),
  keyId: z.uuid(),
  leaseId: z.uuid(),
  model: z.string().max(128),
  endpoint: z.enum(endpoints),
  priceVersion: z.int().positive().max(integerMax),
  promptTokens: tokens,
  cachedTokens: tokens,
  completionTokens: tokens,
  reasoningTokens: tokens,
  images: tokens,
  costMicro: z.int().min(0),
  latencyMs: tokens,
  status: z.int().min(100).max(599),
});
export type Settlement = z.output<typeof Settlement>;

/** Claims that one account can make within an hour: almost three a second. Counting them takes a millisecond. */
export const claimsPerHourMax = 10_000;

/** Digests of one Idempotency-Key: of the days on which a claim that still counts can have been made. */
const digests = z.array(z.string().regex(/^[0-9a-f]{64}$/)).min(1).max(3);

/**
 * A request that comes with an Idempotency-Key, as what a void settlement of it would name. Claimed under the first
 * digest. With `leaseId: null` nothing is claimed, only looked. `runsMs`: the longest that call and settlement take.
 */
export const ClaimRequest = z.strictObject({
  digests,
  ...Settlement.pick({ requestId: true, accountId: true, keyId: true, model: true, endpoint: true, priceVersion: true }).shape,
  leaseId: z.uuid().nullable(),
  runsMs: z.int().positive().max(24 * 3_600_000),
});
export type ClaimRequest = z.output<typeof ClaimRequest>;

/**
 * `claimed`: the request may run. `free`: it could. `completed`: another one with the same digest ended with status 200
 * or with a charge. `in_progress`: another one runs. `too_many`: more than `claimsPerHourMax`.
 */
export const ClaimAnswer = z.discriminatedUnion("outcome", [
  z.strictObject({ outcome: z.enum(["claimed", "free", "too_many"]) }),
  z.strictObject({ outcome: z.literal("in_progress"), requestId: z.uuid() }),
  z.strictObject({ outcome: z.literal("completed"), requestId: z.uuid(), chargedMicro: z.int().min(0), status: z.int() }),
]);
export type ClaimAnswer = z.output<typeof ClaimAnswer>;

/** A claim whose request had no effect and leaves no usage event. */
export const ClaimRelease = z.strictObject({ digests, accountId: z.uuid(), requestId: z.uuid() });
export type ClaimRelease = z.output<typeof ClaimRelease>;

export const SettlementsRequest = z.strictObject({ settlements: z.array(Settlement).min(1).max(settlementsPerCallMax) });

/**
 * In the order of the request. `settled`: this settlement is the one that stands (also on a retry).
 * `superseded`: another settlement of the same id committed first. `refused`: it names an account, model or slice
 * that does not exist; nothing was stored.
 */
export const SettlementsAnswer = z.strictObject({
  results: z.array(z.strictObject({ outcome: z.enum(["settled", "superseded", "refused"]), chargedMicro: z.int() })),
});
export type SettlementsAnswer = z.output<typeof SettlementsAnswer>;
