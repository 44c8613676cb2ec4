/**
 * What a request costs. The proxy charges by this, and replay proves each charge by it (infra/replay): there is no
 * second implementation that could differ.
 */
import type { MicroRupiah } from "./money.ts";

/** The version in force at `nowMs`; versions come newest first. */
export function priceInForce<Price extends { effectiveAtMs: number }>(prices: readonly Price[], nowMs: number): Price | undefined {
  return prices.find((price) => price.effectiveAtMs <= nowMs);
}

/** Micro-rupiah for one token of each kind, and for one image. */
export interface Rates {
  inputMicro: MicroRupiah;
  cachedInputMicro: MicroRupiah;
  outputMicro: MicroRupiah;
  imageMicro: MicroRupiah;
}

export interface Quantities {
  promptTokens: number;
  /** The part of the prompt that the engine had in its cache. */
  cachedTokens: number;
  completionTokens: number;
  images: number;
}

export function priceOf({ promptTokens, cachedTokens, completionTokens, images }: Quantities, rates: Rates): MicroRupiah {
  return (
    (promptTokens - cachedTokens) * rates.inputMicro +
    cachedTokens * rates.cachedInputMicro +
    completionTokens * rates.outputMicro +
    images * rates.imageMicro
  );
}
