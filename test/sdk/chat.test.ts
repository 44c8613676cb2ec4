/** The official SDK, unchanged, against the whole stack: chat and completions. */
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { newCustomer, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

const model = "simulated-chat";
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

const user = (content: string) => [{ role: "user" as const, content }];

describe("openai.chat.completions.create()", () => {
  it("answers, with usage and what it cost", async () => {
    const answer = await openai.chat.completions.create({ model, messages: user("eight by") });
    expect(answer.choices[0]!.message.content).toContain("simulated");
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    const usage = answer.usage as OpenAI.CompletionUsage & { cost_micro_rupiah: number; cost: number };
    expect([usage.prompt_tokens, usage.completion_tokens]).toEqual([10, 20]);
    expect(usage.cost_micro_rupiah).toBeGreaterThan(0);
    expect(usage.cost).toBeCloseTo(usage.cost_micro_rupiah / 1_000_000, 6);
  });

  it("is stored with its numbers before the answer is complete, and the id is the answer's (keep.usage)", async () => {
    const { data, response } = await openai.chat.completions.create({ model, messages: user("eight by") }).withResponse();
    const [row] = (await usageOf(stack, customer.accountId)).filter((each) => each.id === response.headers.get("x-request-id"));
    expect(row).toMatchObject({
      key_id: customer.keyId,
      model,
      endpoint: "chat.completions",
      prompt_tokens: 10,
      completion_tokens: 20,
      status: 200,
      cost_micro: BigInt((data.usage as unknown as { cost_micro_rupiah: number }).cost_micro_rupiah),
    });
  });

  it("streams: the first chunk is here while the engine still generates", async () => {
    const before = (await stack.engine.counts()).total.completionTokens;
    const stream = await openai.chat.completions.create({
      model,
      messages: user("[[simulate tokens=40 interval_ms=25]]"),
      stream: true,
    });
    let text = "";
    let generatedAtFirst = 0;
    for await (const chunk of stream) {
      const content = chunk.choices[0]?.delta.content ?? "";
      if (text === "" && content !== "") generatedAtFirst = (await stack.engine.counts()).total.completionTokens - before;
      text += content;
    }
    expect(generatedAtFirst).toBeGreaterThan(0);
    expect(generatedAtFirst).toBeLessThan(30);
    expect(text).toHaveLength(160);
  });

  it("streams without usage when it was not asked for, though it is metered", async () => {
    const stream = await openai.chat.completions.create({ model, messages: user("no usage"), stream: true });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.every((chunk) => !("usage" in chunk) || chunk.usage === null)).toBe(true);
    expect(chunks.every((chunk) => chunk.choices.length === 1)).toBe(true);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("stop");
    expect((await usageOf(stack, customer.accountId)).at(-1)).toMatchObject({ prompt_tokens: 10, completion_tokens: 20, status: 200 });
  });

  it("streams usage and cost in one last chunk with include_usage", async () => {
    const stream = await openai.chat.completions.create({
      model,
      messages: user("with usage"),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.pop()!;
    expect(last.choices).toEqual([]);
    expect(last.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 20, cost_micro_rupiah: expect.any(Number) });
    expect(chunks.every((chunk) => !chunk.usage)).toBe(true);
  });

  it("streams characters of several bytes whole, wherever the engine cut them", async () => {
    const stream = await openai.chat.completions.create({
      model,
      messages: user("[[simulate split_utf8 tokens=30]]"),
      stream: true,
    });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toContain("漢");
    expect(text).not.toContain("\ufffd");
  });

  const tools: OpenAI.ChatCompletionTool[] = [
    {
      type: "function",
      function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
    },
  ];

  it("calls a tool and takes its result", async () => {
    const called = await openai.chat.completions.create({ model, messages: user("weather?"), tools });
    const message = called.choices[0]!.message;
    const call = message.tool_calls![0]!;
    if (call.type !== "function") throw new Error("expected a function call");
    expect(called.choices[0]!.finish_reason).toBe("tool_calls");
    expect([call.function.name, JSON.parse(call.function.arguments)]).toEqual(["weather", { city: "simulated" }]);
    const result = { role: "tool" as const, tool_call_id: call.id, content: "sunny" };
    const answered = await openai.chat.completions.create({ model, messages: [...user("weather?"), message, result], tools });
    expect(answered.choices[0]!.message.content).toContain("simulated");
  });

  it("streams a tool call through the SDK's own helper", async () => {
    const runner = openai.chat.completions.stream({ model, messages: user("weather?"), tools });
    const pieces: string[] = [];
    runner.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => pieces.push(arguments_delta));
    const message = await runner.finalMessage();
    expect(message.tool_calls![0]).toMatchObject({ type: "function", function: { name: "weather" } });
    expect(pieces.length).toBeGreaterThan(1);
    expect(JSON.parse(pieces.join(""))).toEqual({ city: "simulated" });
  });

  it("parses structured output with the SDK's zod helper", async () => {
    const Place = z.object({ city: z.string(), population: z.number(), kind: z.enum(["village", "town"]) });
    const answer = await openai.chat.completions.parse({
      model,
      messages: user("a place"),
      response_format: zodResponseFormat(Place, "place"),
    });
    expect(answer.choices[0]!.message.parsed).toEqual({ city: "simulated", population: 1, kind: "village" });
  });

  it("passes n, logprobs, stop and a seed of 64 bits through untouched", async () => {
    const many = await openai.chat.completions.create({ model, messages: user("x"), n: 3, logprobs: true, top_logprobs: 2 });
    expect(many.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    expect(many.choices[1]!.logprobs!.content![0]!.top_logprobs).toHaveLength(2);
    expect(many.usage!.completion_tokens).toBe(60);
    const stopped = await openai.chat.completions.create({ model, messages: user("x"), stop: ["answer"] });
    expect(stopped.choices[0]!.message.content).toBe("This ");
    // A JavaScript number cannot hold this seed, so the body is written by hand.
    const seeded = await fetch(`${stack.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${customer.key}`, "content-type": "application/json" },
      body: `{"model":"${model}","seed":9223372036854775807,"messages":[{"role":"user","content":"x"}]}`,
    });
    expect(await seeded.text()).toContain("with seed 9223372036854775807");
  });

  it("ends with finish_reason length at max_completion_tokens and at max_tokens", async () => {
    for (const limit of [{ max_completion_tokens: 3 }, { max_tokens: 3 }]) {
      const answer = await openai.chat.completions.create({ model, messages: user("x"), ...limit });
      expect([answer.choices[0]!.finish_reason, answer.usage!.completion_tokens]).toEqual(["length", 3]);
    }
  });

  it("takes images as data URLs", async () => {
    const url = "data:image/png;base64,iVBORw0KGgo=";
    const answer = await openai.chat.completions.create({
      model,
      messages: [{ role: "user", content: [{ type: "text", text: "what is it?" }, { type: "image_url", image_url: { url } }] }],
    });
    expect(answer.usage!.prompt_tokens).toBe(8 + 3 + 64);
  });

  it("lets an aborted stream end at the engine within a second, and charges what was delivered", async () => {
    const stream = await openai.chat.completions.create({ model, messages: user("[[simulate hang after=5]]"), stream: true });
    let tokens = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) tokens += 1;
      if (tokens === 5) break;
    }
    const leftAtMs = performance.now();
    await waitFor("the engine to notice", async () => (await stack.engine.counts()).open === 0);
    expect(performance.now() - leftAtMs).toBeLessThan(1_000);
    const row = await waitFor("the settlement", async () => (await usageOf(stack, customer.accountId)).find((each) => each.status === 499));
    expect(row).toMatchObject({ completion_tokens: 5, prompt_tokens: 8 + Math.ceil("[[simulate hang after=5]]".length / 4) });
  });

  it("ends at the engine within a second when a call that does not stream is aborted, and costs nothing", async () => {
    const before = (await stack.engine.counts()).total.aborted;
    const rowsBefore = (await usageOf(stack, customer.accountId)).filter((row) => row.cost_micro > 0n).length;
    const leaving = new AbortController();
    const call = openai.chat.completions.create({ model, messages: user("[[simulate hang]]") }, { signal: leaving.signal });
    const failed = expect(call).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    await waitFor("the engine to begin", async () => (await stack.engine.counts()).open === 1);
    leaving.abort();
    const leftAtMs = performance.now();
    await failed;
    await waitFor("the engine to notice", async () => (await stack.engine.counts()).total.aborted === before + 1);
    expect(performance.now() - leftAtMs).toBeLessThan(1_000);
    expect((await usageOf(stack, customer.accountId)).filter((row) => row.cost_micro > 0n)).toHaveLength(rowsBefore);
  });
});

describe("openai.completions.create()", () => {
  it("takes a string, several strings, and tokens", async () => {
    expect((await openai.completions.create({ model, prompt: "abcd" })).usage!.prompt_tokens).toBe(9);
    expect((await openai.completions.create({ model, prompt: ["abcd", "abcd"] })).choices).toHaveLength(2);
    expect((await openai.completions.create({ model, prompt: [[1, 2], [3]] })).usage!.prompt_tokens).toBe(3);
  });

  it("streams", async () => {
    let text = "";
    for await (const chunk of await openai.completions.create({ model, prompt: "x", stream: true })) text += chunk.choices[0]!.text;
    expect(text).toHaveLength(80);
  });
});
