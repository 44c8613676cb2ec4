/** The official SDK, unchanged, against the whole stack: embeddings, images, models, the caller's own key. */
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unitVector } from "#infra/local/simulated-backend/embeddings.ts";
import { balanceOf, newCustomer, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";

let stack: Stack;
let customer: Customer;
let openai: OpenAI;

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  customer = await newCustomer(stack);
  openai = customer.client;
});
afterAll(() => stack.close());

const lastUsage = async () => (await usageOf(stack, customer.accountId)).at(-1);

describe("openai.embeddings.create()", () => {
  const model = "simulated-embedding";
  const expected = [...unitVector(JSON.stringify("abcd"), 64)];

  it("answers the same vectors by default, which the SDK fetches as base64, and as floats", async () => {
    const byDefault = await openai.embeddings.create({ model, input: ["abcd"] });
    const floats = await openai.embeddings.create({ model, input: ["abcd"], encoding_format: "float" });
    expect([...byDefault.data[0]!.embedding]).toEqual(expected);
    expect(floats.data[0]!.embedding).toEqual(expected);
    expect(floats.usage).toMatchObject({ prompt_tokens: 9, cost_micro_rupiah: expect.any(Number) });
    expect(await lastUsage()).toMatchObject({ endpoint: "embeddings", prompt_tokens: 9, completion_tokens: 0, status: 200 });
  });

  it("is charged by its own line: what the engine read, at the price of the model's input", async () => {
    const { usage } = await openai.embeddings.create({ model, input: ["abcd", "efgh"] });
    const row = (await lastUsage())!;
    const { pricing } = (await openai.models.retrieve(model)) as unknown as { pricing: Record<string, number> };
    expect(pricing).toMatchObject({ output_per_million_tokens: 0, per_image: 0 });
    expect(row.cost_micro).toBe(BigInt(usage.prompt_tokens * pricing.input_per_million_tokens!));
    expect(usage).toMatchObject({ prompt_tokens: 18, cost_micro_rupiah: Number(row.cost_micro) });
  });

  it("answers base64 as text when asked for it", async () => {
    const answer = await openai.embeddings.create({ model, input: "abcd", encoding_format: "base64" });
    expect(answer.data[0]!.embedding as unknown).toBe(Buffer.from(new Float32Array(expected).buffer).toString("base64"));
  });

  it("takes a batch and dimensions", async () => {
    const answer = await openai.embeddings.create({ model, input: ["a", "b", "c"], dimensions: 8 });
    expect(answer.data.map(({ index, embedding }) => [index, embedding.length])).toEqual([[0, 8], [1, 8], [2, 8]]);
  });
});

describe("openai.images", () => {
  const model = "simulated-image";
  const picture = () => toFile(Buffer.from("not looked at"), "photo.png", { type: "image/png" });
  const isPng = (base64: string) => Buffer.from(base64, "base64").subarray(1, 4).toString() === "PNG";

  it("generates, and charges each picture", async () => {
    const before = await balanceOf(stack, customer.accountId);
    const answer = await openai.images.generate({ model, prompt: "a lake", n: 2 });
    expect(answer.data!.map((each) => isPng(each.b64_json!))).toEqual([true, true]);
    const row = (await lastUsage())!;
    expect(row).toMatchObject({ endpoint: "images.generations", images: 2, status: 200 });
    expect(row.cost_micro).toBeGreaterThan(0n);
    expect(before - (await balanceOf(stack, customer.accountId))).toBe(row.cost_micro);
  });

  it("charges by size and quality, and names the line of the price by its own version", async () => {
    const { pricing } = (await openai.models.retrieve(model)) as unknown as {
      pricing: { version: number; per_image: number; images: { size: string | null; quality: string | null; per_image: number; version: number }[] };
    };
    const versions = new Set<number>();
    for (const { size, quality } of [...pricing.images, { size: null, quality: null }]) {
      const asked = { ...(size && { size: size as "512x512" }), ...(quality && { quality: quality as "hd" }) };
      await openai.images.generate({ model, prompt: "a lake", n: 2, ...asked });
      const row = (await lastUsage())!;
      const line = pricing.images.find((each) => each.size === size && each.quality === quality) ?? pricing;
      expect([row.cost_micro, row.price_version]).toEqual([BigInt(2 * line.per_image * 1_000_000), line.version]);
      versions.add(line.version);
    }
    expect(versions.size).toBe(4);
  });

  it("edits a picture that was uploaded (content.images)", async () => {
    const answer = await openai.images.edit({ model, image: await picture(), prompt: "[[simulate echo]] add a boat" });
    expect(Buffer.from(answer.data![0]!.b64_json!, "base64").toString("latin1")).toContain("add a boat");
    expect(await lastUsage()).toMatchObject({ endpoint: "images.edits", images: 1 });
  });

  it("edits several pictures in one call", async () => {
    const answer = await openai.images.edit({ model, image: [await picture(), await picture()], prompt: "both", n: 1 });
    expect(answer.data).toHaveLength(1);
  });

  it("varies a picture", async () => {
    const answer = await openai.images.createVariation({ model, image: await picture(), n: 2 });
    expect(answer.data).toHaveLength(2);
    expect(await lastUsage()).toMatchObject({ endpoint: "images.variations", images: 2 });
  });
});

describe("openai.models", () => {
  it("lists models with price and context length", async () => {
    const models = (await openai.models.list()).data as (OpenAI.Model & { context_length: number; pricing: Record<string, unknown> })[];
    expect(models.map(({ id }) => id)).toEqual(expect.arrayContaining(["simulated-chat", "simulated-embedding", "simulated-image"]));
    const chat = models.find(({ id }) => id === "simulated-chat")!;
    expect(chat.context_length).toBe(32_768);
    expect(chat.pricing).toMatchObject({ currency: "IDR", input_per_million_tokens: expect.any(Number), output_per_million_tokens: expect.any(Number) });
  });

  it("are on the public price list too, for whoever asks without a key", async () => {
    const answer = await fetch(`${stack.url}/v1/prices`);
    expect(answer.status).toBe(200);
    const { data } = (await answer.json()) as { data: { id: string }[] };
    expect(data.find(({ id }) => id === "simulated-image")).toEqual(await openai.models.retrieve("simulated-image"));
  });

  it("retrieves one", async () => {
    expect(await openai.models.retrieve("simulated-image")).toMatchObject({ id: "simulated-image", object: "model" });
  });
});

describe("GET /v1/key", () => {
  it("tells the caller's own limits and balance", async () => {
    const limited = await newCustomer(stack, { requestsPerMinute: 100, scopes: ["chat"], models: ["simulated-chat"] }, 5_000_000);
    expect(await limited.client.get("/key")).toMatchObject({
      key_id: limited.keyId,
      scopes: ["chat"],
      models: ["simulated-chat"],
      limits: { requests_per_minute: 100, tokens_per_minute: null },
      balance: { currency: "IDR", amount: "5.000000" },
    });
  });
});
