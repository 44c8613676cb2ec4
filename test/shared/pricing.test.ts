import { expect, test } from "vitest";
import { priceOf } from "#shared/pricing.ts";

test("priceOf() is each quantity times its rate, and cached tokens are a part of the prompt", () => {
  const rates = { inputMicro: 1_000, cachedInputMicro: 100, outputMicro: 10, imageMicro: 1 };
  expect(priceOf({ promptTokens: 9, cachedTokens: 4, completionTokens: 3, images: 2 }, rates)).toBe(5_432);
});
