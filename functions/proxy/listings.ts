/** What a caller can look up with a key: the models with their prices, and the key's own limits and balance. */
import { EpithreError } from "#shared/errors.ts";
import { formatRupiah } from "#shared/money.ts";
import type { BalanceAnswer, Model } from "../billing/schema.ts";
import type { Verdict } from "../key-auth/schema.ts";
import { priceInForce } from "./call.ts";
import type { z } from "zod";

export type Balance = z.output<typeof BalanceAnswer>;

export function listModels(models: Model[], verdict: Verdict, nowMs: number): string {
  const data = models
    .filter((model) => isVisible(model, verdict) && priceInForce(model, nowMs))
    .map((model) => describe(model, nowMs));
  return JSON.stringify({ object: "list", data });
}

/** Throws `model_not_found` for a model that the key may not use: it looks like one that does not exist. */
export function oneModel(model: Model, verdict: Verdict, nowMs: number): string {
  if (!isVisible(model, verdict) || !priceInForce(model, nowMs)) {
    throw new EpithreError("model_not_found", "Cannot find this model: see GET /v1/models for the ones on offer", { param: "model" });
  }
  return JSON.stringify(describe(model, nowMs));
}

function isVisible(model: Model, { models }: Verdict): boolean {
  return models === null || models.includes(model.id);
}

/** OpenAI's model object with what a self-hosted model also has: kind, lengths, and prices per million tokens. */
function describe(model: Model, nowMs: number) {
  const price = priceInForce(model, nowMs)!;
  return {
    id: model.id,
    object: "model",
    created: Math.floor(model.createdAtMs / 1_000),
    owned_by: "epithre",
    kind: model.kind,
    context_length: model.contextTokens,
    max_output_tokens: model.outputTokensMax,
    // Micro-rupiah per token is rupiah per million tokens: the number needs no conversion.
    pricing: {
      currency: "IDR",
      unit: "rupiah",
      version: price.version,
      input_per_million_tokens: price.inputMicro,
      cached_input_per_million_tokens: price.cachedInputMicro,
      output_per_million_tokens: price.outputMicro,
      per_image: price.imageMicro / 1_000_000,
    },
  };
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
