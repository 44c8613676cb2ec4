import { spawn } from "node:child_process";
import { once } from "node:events";
import { crc32, inflateSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startSimulatedBackend, type SimulatedBackend } from "#infra/local/simulated-backend/backend.ts";

let backend: SimulatedBackend;

beforeAll(async () => {
  backend = await startSimulatedBackend();
});
beforeEach(() => backend.reset());
afterAll(() => backend.close());

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(backend.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

/** A chat with one user message; fields of `more` are added to the body. */
function chat(content: unknown, more: object = {}, signal?: AbortSignal): Promise<Response> {
  return post("/v1/chat/completions", { model: "simulated-chat", messages: [{ role: "user", content }], ...more }, signal);
}

async function events(response: Response): Promise<any[]> {
  return (await response.text())
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("startSimulatedBackend()", () => {
  it("listens on loopback only (path.lan)", async () => {
    await expect(startSimulatedBackend({ host: "0.0.0.0" })).rejects.toThrow("loopback only");
  });

  it("does not start inside a cluster, so production can never be answered by it", async () => {
    const main = new URL("../../infra/local/simulated-backend/main.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [main], { env: { ...process.env, KUBERNETES_SERVICE_HOST: "10.0.0.1" } });
    const errors: Buffer[] = [];
    child.stderr.on("data", (chunk) => errors.push(chunk));
    const [code] = await once(child, "close");
    expect([code, Buffer.concat(errors).toString()]).toEqual([1, expect.stringContaining("Kubernetes")]);
  });

  it("prints where it listens when started as a program, and ends on SIGTERM", async () => {
    const main = new URL("../../infra/local/simulated-backend/main.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [main, "--port", "0"]);
    const [line] = await once(child.stdout, "data");
    const { listening } = JSON.parse(String(line));
    expect((await fetch(`http://127.0.0.1:${listening}/health`)).status).toBe(200);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("says that it is simulated in every answer", async () => {
    for (const path of ["/health", "/v1/models", "/metrics", "/nowhere"]) {
      expect((await fetch(backend.url + path)).headers.get("x-simulated-backend")).toBe("true");
    }
    const models: any = await (await fetch(`${backend.url}/v1/models`)).json();
    expect(models.data.every(({ id }: { id: string }) => id.startsWith("simulated-"))).toBe(true);
  });
});

describe("chat", () => {
  it("counts one prompt token for 4 bytes and the template, and 20 tokens of answer", async () => {
    const answer: any = await (await chat("eight by")).json();
    expect(answer.usage).toEqual({
      prompt_tokens: 10,
      total_tokens: 30,
      completion_tokens: 20,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(answer.choices[0].message.content).toContain("simulated");
    expect(answer.choices[0].finish_reason).toBe("stop");
    expect(backend.counts().models["simulated-chat"]).toMatchObject({ requests: 1, completed: 1, promptTokens: 10, completionTokens: 20 });
  });

  it("counts text parts, image parts and tools into the prompt", async () => {
    const tools = [{ type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } }];
    const parts = [
      { type: "text", text: "éé" },
      { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
    ];
    const answer: any = await (await chat(parts, { tools, tool_choice: "none" })).json();
    expect(answer.usage.prompt_tokens).toBe(8 + 64 + Math.ceil((4 + JSON.stringify(tools).length) / 4));
  });

  it("stops at max_tokens with finish_reason length, at a stop word with stop", async () => {
    const limited: any = await (await chat("x", { max_completion_tokens: 3 })).json();
    expect([limited.choices[0].finish_reason, limited.usage.completion_tokens]).toEqual(["length", 3]);
    const stopped: any = await (await chat("x", { stop: ["answer"] })).json();
    expect([stopped.choices[0].message.content, stopped.choices[0].finish_reason]).toEqual(["This ", "stop"]);
  });

  it("shows all digits of a 64-bit seed", async () => {
    const response = await fetch(`${backend.url}/v1/chat/completions`, {
      method: "POST",
      body: '{"model":"simulated-chat","seed":9223372036854775807,"messages":[{"role":"user","content":"x"}]}',
    });
    expect(await response.text()).toContain("seed 9223372036854775807");
  });

  it("answers n choices with logprobs for each token", async () => {
    const answer: any = await (await chat("x", { n: 3, logprobs: true, top_logprobs: 2 })).json();
    expect(answer.choices.map((choice: any) => choice.index)).toEqual([0, 1, 2]);
    expect(answer.choices[2].logprobs.content).toHaveLength(20);
    expect(answer.choices[2].logprobs.content[0].top_logprobs).toHaveLength(2);
    expect(answer.usage.completion_tokens).toBe(60);
  });

  it("answers a tool call whose arguments fit the schema, and text once the tool has answered", async () => {
    const parameters = { type: "object", properties: { city: { type: "string" }, days: { type: "integer", minimum: 3 } } };
    const tools = [{ type: "function", function: { name: "weather", parameters } }];
    const called: any = await (await chat("x", { tools })).json();
    const call = called.choices[0].message.tool_calls[0];
    expect([called.choices[0].finish_reason, call.function.name]).toEqual(["tool_calls", "weather"]);
    expect(JSON.parse(call.function.arguments)).toEqual({ city: "simulated", days: 3 });

    const messages = [{ role: "user", content: "x" }, { role: "assistant", content: null, tool_calls: [call] }, { role: "tool", tool_call_id: call.id, content: "sun" }];
    const answered: any = await (await chat("x", { tools, messages })).json();
    expect(answered.choices[0].message.content).toContain("simulated");
  });

  it("streams a tool call: its name, then its arguments in pieces", async () => {
    const tools = [{ type: "function", function: { name: "f", parameters: { type: "object", properties: { a: { type: "boolean" } } } } }];
    const deltas = (await events(await chat("x", { tools, stream: true }))).map((event) => event.choices[0]);
    const calls = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(calls[0].function.name).toBe("f");
    expect(JSON.parse(calls.map((call) => call.function.arguments).join(""))).toEqual({ a: true });
    expect(deltas.at(-1).finish_reason).toBe("tool_calls");
  });

  it("answers a document that fits response_format's schema, references included", async () => {
    const schema = {
      type: "object",
      properties: { kind: { enum: ["a", "b"] }, list: { type: "array", items: { $ref: "#/$defs/item" } } },
      $defs: { item: { type: "object", properties: { size: { type: "number" } } } },
    };
    const answer: any = await (await chat("x", { response_format: { type: "json_schema", json_schema: { name: "n", schema } } })).json();
    expect(JSON.parse(answer.choices[0].message.content)).toEqual({ kind: "a", list: [{ size: 1 }] });
  });

  it("streams role, tokens, finish_reason on the last one, usage only if asked for, and the end mark", async () => {
    const plain = await (await chat("x", { stream: true })).text();
    expect(plain).toMatch(/data: \[DONE\]\n\n$/);
    expect(plain).not.toContain("usage");
    const [opening, ...tokens] = await events(await chat("x", { stream: true, stream_options: { include_usage: true } }));
    const usage = tokens.pop();
    expect(opening.choices[0].delta).toEqual({ role: "assistant", content: "" });
    expect(tokens).toHaveLength(20);
    expect(tokens.map(({ choices }) => choices[0].finish_reason)).toEqual([...Array(19).fill(null), "stop"]);
    expect([usage.choices, usage.usage.completion_tokens]).toEqual([[], 20]);
  });

  it("reports continuous usage for each choice alone and the sum at the end, as vLLM does", async () => {
    const stream_options = { include_usage: true, continuous_usage_stats: true };
    const all = await events(await chat("[[simulate tokens=2]]", { n: 2, stream: true, stream_options }));
    expect(all.map(({ usage }) => usage.completion_tokens)).toEqual([0, 0, 1, 1, 2, 2, 4]);
  });
});

describe("the other endpoints", () => {
  it("completions: a string, several strings, tokens, several arrays of tokens", async () => {
    const ask = async (prompt: unknown): Promise<any> => (await post("/v1/completions", { model: "simulated-chat", prompt, max_tokens: 2 })).json();
    expect((await ask("abcd")).usage.prompt_tokens).toBe(9);
    expect((await ask(["abcd", "abcde"])).choices).toHaveLength(2);
    expect((await ask([1, 2, 3])).usage.prompt_tokens).toBe(3);
    expect((await ask([[1, 2], [3]])).usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4 });
  });

  it("embeddings: deterministic unit vectors, the same as numbers and as base64", async () => {
    const ask = async (more: object): Promise<any> =>
      (await post("/v1/embeddings", { model: "simulated-embedding", input: ["a", "b"], dimensions: 8, ...more })).json();
    const floats = (await ask({})).data.map((each: any) => each.embedding);
    const decoded = (await ask({ encoding_format: "base64" })).data.map((each: any) => {
      const bytes = Buffer.from(each.embedding, "base64");
      return [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)];
    });
    expect(decoded).toEqual(floats);
    expect(Math.hypot(...floats[0])).toBeCloseTo(1, 5);
    expect(floats[0]).not.toEqual(floats[1]);
  });

  it("images: a PNG that decodes, from JSON and from multipart", async () => {
    const form = new FormData();
    form.set("model", "simulated-image");
    form.set("prompt", "[[simulate echo]] a lake");
    form.set("n", "2");
    form.append("image[]", new Blob(["not looked at"], { type: "image/png" }), "photo.png");
    const edited: any = await (await fetch(`${backend.url}/v1/images/edits`, { method: "POST", body: form })).json();
    expect(edited.data).toHaveLength(2);
    const png = Buffer.from(edited.data[0].b64_json, "base64");
    const chunks = readChunks(png);
    expect(Object.keys(chunks)).toEqual(["IHDR", "tEXt", "IDAT", "IEND"]);
    expect(inflateSync(chunks.IDAT!)).toHaveLength(16 * 17);
    expect(chunks.tEXt!.toString()).toContain("a lake");

    const generated = await post("/v1/images/generations", { model: "simulated-image", prompt: "a lake" });
    expect(generated.status).toBe(200);
    form.delete("image[]");
    expect((await fetch(`${backend.url}/v1/images/variations`, { method: "POST", body: form })).status).toBe(400);
    expect(backend.counts().models["simulated-image"]).toMatchObject({ requests: 2, images: 3 });
  });

  it("metrics carry vLLM's names and the same counts", async () => {
    await chat("abcd");
    const text = await (await fetch(`${backend.url}/metrics`)).text();
    expect(text).toContain('vllm:prompt_tokens_total{model_name="simulated-chat",engine="0"} 9\n');
    expect(text).toContain('vllm:generation_tokens_total{model_name="simulated-chat",engine="0"} 20\n');
  });
});

describe("errors have vLLM's shape", () => {
  it.each([
    ["unknown model", { model: "nothing" }, 404, "NotFoundError"],
    ["no messages", { messages: [] }, 400, "BadRequestError"],
    ["max_tokens of 0", { max_tokens: 0 }, 400, "BadRequestError"],
    ["context too small", { model: "simulated-chat-small", max_tokens: 250 }, 400, "BadRequestError"],
  ])("%s", async (_, more, status, type) => {
    const response = await chat("x", more);
    expect(response.status).toBe(status);
    expect(((await response.json()) as any).error).toMatchObject({ type, code: status });
  });

  it("says how long the context is, in the words of vLLM before 0.16 and since", async () => {
    const small = (await (await chat("x", { model: "simulated-chat-small", max_tokens: 250 })).json()) as any;
    expect(small.error.message).toContain("maximum context length is 256 tokens. However, you requested 259 tokens");
    const recent = (await (await chat("[[simulate error=context_new]]")).json()) as any;
    expect(recent.error.message).toContain("the model's context length is only 32768 tokens");
  });

  it("refuses a behaviour that it does not know", async () => {
    expect((await chat("[[simulate tokns=5]]")).status).toBe(422);
  });
});

describe("behaviour", () => {
  it("comes from magic words, from the next ones set, or from always; reset forgets", async () => {
    backend.behave({ next: [{ status: 503, retry_after: 2 }], always: { tokens: 5 } });
    const failed = await chat("x");
    expect([failed.status, failed.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(((await (await chat("x")).json()) as any).usage.completion_tokens).toBe(5);
    expect(((await (await chat("[[simulate tokens=6]]")).json()) as any).usage.completion_tokens).toBe(6);
    await post("/simulated/reset", {});
    expect(((await (await chat("x")).json()) as any).usage.completion_tokens).toBe(20);
    await post("/simulated/behaviour", { next: [{ tokens: 7 }] });
    expect(((await (await chat("x")).json()) as any).usage.completion_tokens).toBe(7);
  });

  it("hang: counts what was written before the caller left, and that it left", async () => {
    const caller = new AbortController();
    const response = await chat("[[simulate hang after=4]]", { stream: true }, caller.signal);
    const reader = response.body!.getReader();
    let text = "";
    while (text.split("data:").length - 1 < 5) text += Buffer.from((await reader.read()).value!).toString();
    expect(backend.counts().open).toBe(1);
    caller.abort();
    await until(() => backend.counts().open === 0);
    expect(backend.counts().total).toMatchObject({ aborted: 1, completed: 0, completionTokens: 4, abortedCompletionTokens: 4 });
  });

  it("reset: the connection breaks after the tokens that were asked for", async () => {
    const response = await chat("[[simulate reset after=3]]", { stream: true });
    let text = "";
    const read = async () => {
      for await (const chunk of response.body!) text += Buffer.from(chunk).toString();
    };
    await expect(read()).rejects.toThrow();
    expect(text.split("data:").length - 1).toBe(4);
    expect(backend.counts().total).toMatchObject({ failed: 1, completionTokens: 3 });
    await expect(chat("[[simulate reset]]")).rejects.toThrow();
    await expect(chat("[[simulate reset after=0]]").then((answer) => answer.text())).rejects.toThrow();
  });

  it("end, error_event and garbage: three more ways that engines break off", async () => {
    const ended = await (await chat("[[simulate end after=2]]", { stream: true })).text();
    expect(ended).not.toContain("[DONE]");
    const failed = await (await chat("[[simulate error_event after=2]]", { stream: true })).text();
    expect(failed).toContain('data: {"error":{');
    expect(await (await chat("[[simulate garbage after=2]]", { stream: true })).text()).toContain('data: {"simulated":\n\n');
    expect((await chat("[[simulate error_event]]")).status).toBe(500);
    await expect((await chat("[[simulate garbage]]")).json()).rejects.toThrow();
  });

  it.each([
    ["missing", undefined],
    ["negative", '"completion_tokens":-20'],
    ["nan", '"completion_tokens":NaN'],
    ["huge", '"completion_tokens":1000000000000000'],
    ["zero", '"completion_tokens":0'],
    ["text", '"completion_tokens":"20"'],
  ])("usage=%s", async (fault, expected) => {
    const prompt = `[[simulate usage=${fault}]]`;
    const whole = await (await chat(prompt)).text();
    const streamed = await (await chat(prompt, { stream: true, stream_options: { include_usage: true } })).text();
    for (const text of [whole, streamed]) {
      if (expected) expect(text).toContain(expected);
      else expect(text).not.toContain("usage");
    }
    expect(backend.counts().total.completionTokens).toBe(40);
  });

  it("usage=twice reports usage two times", async () => {
    const text = await (await chat("[[simulate usage=twice]]", { stream: true, stream_options: { include_usage: true } })).text();
    expect(text.split('"usage"')).toHaveLength(3);
  });

  it("split_utf8: writes end inside characters, and the text is whole", async () => {
    const response = await chat("[[simulate split_utf8 tokens=12]]", { stream: true });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body!) chunks.push(chunk);
    const cutInside = chunks.some((chunk) => new TextDecoder().decode(chunk).endsWith("\ufffd"));
    expect(cutInside).toBe(true);
    expect(Buffer.concat(chunks).toString()).toContain("漢");
    expect(Buffer.concat(chunks).toString()).not.toContain("\ufffd");
  });

  it("echo: the prompt comes back in answers and in errors", async () => {
    const answer: any = await (await chat("[[simulate echo]] canary-1")).json();
    expect(answer.choices[0].message.content).toBe("[[simulate echo]] canary-1");
    expect(await (await chat("[[simulate status=400 echo]] canary-2")).text()).toContain("canary-2");
  });

  it("interval_ms paces a stream, so its first token comes while it generates", async () => {
    const response = await chat("[[simulate tokens=20 interval_ms=20]]", { stream: true });
    const reader = response.body!.getReader();
    let text = "";
    while (!text.includes('"content":"This"')) text += Buffer.from((await reader.read()).value!).toString();
    expect(backend.counts().total.completionTokens).toBeLessThan(20);
    while (!(await reader.read()).done);
    await until(() => backend.counts().total.completed === 1);
    expect(backend.counts().total.completionTokens).toBe(20);
  });
});

function readChunks(png: Buffer): Record<string, Buffer> {
  const chunks: Record<string, Buffer> = {};
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    expect(png.readUInt32BE(at + 8 + length)).toBe(crc32(body));
    chunks[body.toString("latin1", 0, 4)] = body.subarray(4);
    at += length + 12;
  }
  return chunks;
}
