/** A price as people and programs read it: on the public price list and in `/v1/models`. */
import { microPerRupiah } from "./money.ts";
import type { Rates } from "./pricing.ts";

interface ListedPrice extends Rates {
  version: number;
  lines: readonly { version: number; size: string | null; quality: string | null; imageMicro: number }[];
}

/** In rupiah. Micro-rupiah per token is rupiah per million tokens: the number needs no conversion. */
export function pricingOf({ version, inputMicro, cachedInputMicro, outputMicro, imageMicro, lines }: ListedPrice) {
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
