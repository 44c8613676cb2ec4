/** What a caller can look up with a key: the models with their prices, and the key's own limits and balance. */
import { EpithreError } from "#shared/errors.ts";
import { formatRupiah } from "#shared/money.ts";
import { describeModel, isRetired } from "#shared/price-list.ts";
import { priceInForce } from "#shared/pricing.ts";
import type { BalanceAnswer, Model } from "../billing/schema.ts";
import type { Verdict } from "../key-auth/schema.ts";
import { refuseRetired } from "./retirement.ts";
import type { z } from "zod";

export type Balance = z.output<typeof BalanceAnswer>;

export function listModels(models: Model[], verdict: Verdict, nowMs: number): string {
  const data = models
    .filter((model) => isVisible(model, verdict) && !isRetired(model, nowMs) && priceInForce(model.prices, nowMs))
    .map((model) => describeModel(model, nowMs));
  return JSON.stringify({ object: "list", data });
}

/** Throws `model_not_found` for a model that the key may not use: it looks like one that does not exist. Or `model_retired`. */
export function oneModel(model: Model, verdict: Verdict, nowMs: number): string {
  if (!isVisible(model, verdict) || !priceInForce(model.prices, nowMs)) {
    throw new EpithreError("model_not_found", "Cannot find this model: see GET /v1/models for the ones on offer", { param: "model" });
  }
  refuseRetired(model, nowMs);
  return JSON.stringify(describeModel(model, nowMs));
}

function isVisible(model: Model, { models }: Verdict): boolean {
  return models === null || models.includes(model.id);
}

export function ownKey(verdict: Verdict, { balanceMicro, availableMicro, budget }: Balance): string {
  return JSON.stringify({
    object: "key",
    key_id: verdict.keyId,
    scopes: verdict.scopes,
    models: verdict.models,
    expires_at: verdict.expiresAtMs === null ? null : new Date(verdict.expiresAtMs).toISOString(),
    limits: { requests_per_minute: verdict.requestsPerMinute, tokens_per_minute: verdict.tokensPerMinute },
    budget: budgetOf(verdict, budget),
    balance: {
      currency: "IDR",
      amount: formatRupiah(BigInt(balanceMicro)),
      available: formatRupiah(BigInt(availableMicro)),
    },
  });
}

/** The key's monthly budget in rupiah, what calls of this month have spent of it, and when the next month begins. */
function budgetOf({ monthlyBudgetMicro }: Verdict, budget: Balance["budget"]) {
  if (monthlyBudgetMicro === null || !budget) return null;
  return {
    currency: "IDR",
    period: "month",
    amount: formatRupiah(BigInt(monthlyBudgetMicro)),
    spent: formatRupiah(BigInt(budget.spentMicro)),
    renews_at: new Date(budget.renewsAtMs).toISOString(),
  };
}
