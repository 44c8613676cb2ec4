/** A model with its prices as people and programs read them: on the public price list and in `/v1/models`. */
import { microPerRupiah } from "./money.ts";
import { priceInForce, type Rates } from "./pricing.ts";

export interface Retirement {
  announcedAtMs: number;
  retiresAtMs: number;
}

interface ListedPrice extends Rates {
  version: number;
  effectiveAtMs: number;
  lines: readonly { version: number; size: string | null; quality: string | null; imageMicro: number }[];
}

interface ListedModel {
  id: string;
  kind: string;
  createdAtMs: number;
  contextTokens: number;
  outputTokensMax: number;
  retirement: Retirement | null;
  prices: readonly ListedPrice[];
}

export function isRetired({ retirement }: { retirement: Retirement | null }, nowMs: number): boolean {
  return retirement !== null && retirement.retiresAtMs <= nowMs;
}

/** OpenAI's model object with what a self-hosted model also has: kind, lengths, prices, and its end where it has one. */
export function describeModel(model: ListedModel, nowMs: number) {
  const { retirement, prices } = model;
  const price = priceInForce(prices, nowMs);
  return {
    id: model.id,
    object: "model",
    created: Math.floor(model.createdAtMs / 1_000),
    owned_by: "epithre",
    kind: model.kind,
    context_length: model.contextTokens,
    max_output_tokens: model.outputTokensMax,
    pricing: price ? pricingOf(price) : null,
    // Set in advance, the next one first.
    future_pricing: prices
      .filter(({ effectiveAtMs }) => effectiveAtMs > nowMs)
      .reverse()
      .map((future) => ({ effective_at: isoTime(future.effectiveAtMs), ...pricingOf(future) })),
    retirement: retirement && {
      announced_at: isoTime(retirement.announcedAtMs),
      retires_at: isoTime(retirement.retiresAtMs),
    },
  };
}

const isoTime = (ms: number) => new Date(ms).toISOString();

/** In rupiah. Micro-rupiah per token is rupiah per million tokens: the number needs no conversion. */
function pricingOf({ version, inputMicro, cachedInputMicro, outputMicro, imageMicro, lines }: ListedPrice) {
  return {
    currency: "IDR",
    unit: "rupiah",
    version,
    input_per_million_tokens: inputMicro,
    cached_input_per_million_tokens: cachedInputMicro,
    output_per_million_tokens: outputMicro,
    per_image: imageMicro / microPerRupiah,
    // Of a size, a quality or both; `per_image` is for all others.
    images: lines.map((line) => ({
      version: line.version,
      size: line.size,
      quality: line.quality,
      per_image: line.imageMicro / microPerRupiah,
    })),
  };
}
