import { expect, test } from "vitest";
import type { Price } from "../../../functions/billing/schema.ts";
import type { Call } from "../../../functions/proxy/call.ts";
import { readAnswer } from "../../../functions/proxy/relay-json.ts";

const lines = [
  { version: 2, size: "512x512", quality: null, imageMicro: 10 },
  { version: 3, size: null, quality: "hd" as const, imageMicro: 90 },
];
const price: Price = { version: 1, effectiveAtMs: 0, inputMicro: 1, cachedInputMicro: 1, outputMicro: 1, imageMicro: 50, lines };

function callOf(kind: "chat" | "image", asked = {}): Call {
  return {
    price,
    endpoint: { kind },
    bounds: { promptTokensMax: 100, completionTokensMax: 50, imagesMax: 2 },
    inspection: { prompts: 1, size: null, quality: null, ...asked },
    model: { contextTokens: 100 },
  } as Call;
}

const read = (kind: "chat" | "image", value: unknown) => readAnswer(callOf(kind), Buffer.from(JSON.stringify(value)));
const picture = { b64_json: "AAAA" };

test("readAnswer() adds the cost to the usage, and nothing to an empty one", () => {
  const usage = { prompt_tokens: 5, completion_tokens: 7 };
  expect(JSON.parse(read("chat", { choices: [], usage })!.withCost(1_500_000).toString()).usage).toEqual({ ...usage, cost: 1.5, cost_micro_rupiah: 1_500_000 });
  expect(read("chat", { choices: [], usage: {} })!.withCost(0).toString()).toBe('{"choices":[],"usage":{}}');
});

test.each([
  [{ data: [picture, picture] }, 2],
  [{ data: [picture], usage: { total_tokens: 5 } }, 1],
  [{ data: [picture], usage: { prompt_tokens: 3, completion_tokens: 4 } }, 1],
])("readAnswer() counts the pictures of %j whatever the engine says of tokens", (value, images) => {
  expect(read("image", value)!.usage.images).toBe(images);
});

test.each([
  [{}, {}, 1],
  [{ size: "512x512" }, {}, 2],
  [{ size: "512x512" }, { size: "2048x2048" }, 2],
  [{}, { size: "512x512", quality: "auto" }, 2],
  [{ size: "1024x1024" }, { quality: "hd" }, 3],
  [{ quality: "low" }, { size: 512, quality: "hd" }, 1],
])("readAnswer() prices what was asked (%j), and by the answer (%j) only what the caller left to the engine", (asked, said, version) => {
  const answer = readAnswer(callOf("image", asked), Buffer.from(JSON.stringify({ data: [picture], ...said })));
  expect(answer!.price.version).toBe(version);
});

test("readAnswer() takes no answer with more pictures than were paid for, and none that is no JSON", () => {
  expect(read("image", { data: [picture, picture, picture] })).toBeUndefined();
  expect(readAnswer(callOf("chat"), Buffer.from("{"))).toBeUndefined();
});
