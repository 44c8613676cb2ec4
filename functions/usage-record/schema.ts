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
