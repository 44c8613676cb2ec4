/** What can be asked of an API key, by operators and by its owner alike. */
import { z } from "zod";
import { scopes } from "./policy.ts";

export const modelId = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._:/-]{0,127}$/, "must be letters, digits and . _ : / - (128 at most)");

/** Micro-rupiah as a decimal string, since a balance can exceed 2^53; the bound is that of `bigint`. */
export const amountMicro = z
  .string()
  .regex(/^-?\d{1,18}$/, "must be an integer of micro-rupiah, as a string")
  .transform(BigInt);

const limit = z.int().positive().max(2_147_483_647).nullable();

export const keyFields = {
  name: z.string().trim().min(1).max(64),
  scopes: z.array(z.enum(scopes)).min(1).max(scopes.length),
  models: z.array(modelId).min(1).max(100).nullable(),
  expiresAtMs: z.int().positive().max(8_640_000_000_000_000).nullable(),
  requestsPerMinute: limit,
  tokensPerMinute: limit,
  /** Micro-rupiah that a key may spend in a month. */
  monthlyBudgetMicro: z
    .union([amountMicro, z.int().transform(BigInt)])
    .refine((micro) => micro >= 0n, "must not be negative")
    .nullable(),
};

export type KeyChanges = { [Name in keyof typeof keyFields]?: z.output<(typeof keyFields)[Name]> };

/** Limits as the columns of api_keys have them; what is undefined is left out of the JSON, and stays as it is. */
export function keyColumns(asked: KeyChanges) {
  const { name, models, expiresAtMs, monthlyBudgetMicro } = asked;
  return {
    name,
    models,
    expires_at: typeof expiresAtMs === "number" ? new Date(expiresAtMs).toISOString() : expiresAtMs,
    requests_per_minute: asked.requestsPerMinute,
    tokens_per_minute: asked.tokensPerMinute,
    monthly_budget_micro: monthlyBudgetMicro?.toString() ?? monthlyBudgetMicro,
  };
}
