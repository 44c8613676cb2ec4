import fc from "fast-check";
import { expect, test } from "vitest";
import { priceOf } from "#shared/pricing.ts";
import type { Model, Price } from "../../../functions/billing/schema.ts";
import { admit, costMicro } from "../../../functions/proxy/call.ts";
import { inspect } from "../../../functions/proxy/inspection.ts";
import { routeOf } from "../../../functions/proxy/routes.ts";
import { readUsage } from "../../../functions/proxy/usage.ts";

const price: Price = { version: 1, effectiveAtMs: 0, inputMicro: 3, cachedInputMicro: 1, outputMicro: 7, imageMicro: 0, lines: [] };
const model: Model = {
  id: "m", kind: "chat", createdAtMs: 0, contextTokens: 1_000, outputTokensMax: 50, templateTokens: 10, imageTokensMax: 0, enabled: true, retirement: null,
  prices: [price],
};

test("readUsage() takes no more tokens than the hold covers, so that every charge is the price of its usage event", () => {
  const route = routeOf("POST", "/v1/chat/completions");
  if (route.to !== "inference") throw new Error("no inference route");
  const body = { model: "m", messages: [{ role: "user", content: "halo" }] };
  const call = admit(route.endpoint, model, price, inspect(route.endpoint, Buffer.from(JSON.stringify(body)), "application/json"));
  const { promptTokensMax } = call.bounds;
  const tokens = fc.nat(1_100);
  fc.assert(
    fc.property(tokens, fc.nat(60), tokens, (prompt, completion, cached) => {
      const reported = { prompt_tokens: prompt, completion_tokens: completion, prompt_tokens_details: { cached_tokens: cached } };
      const usage = readUsage(reported, call.bounds, model.contextTokens);
      if (prompt > 1_000 || completion > 50) {
        expect(usage).toBeUndefined();
        return;
      }
      expect(usage!.promptTokens).toBe(Math.min(prompt, promptTokensMax));
      expect(usage!.cachedTokens).toBeLessThanOrEqual(usage!.promptTokens);
      expect(costMicro(call, usage!)).toBe(priceOf(usage!, price));
    }),
  );
});
