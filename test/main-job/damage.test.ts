/** Damaged requests: whatever arrives, the proxy answers with a stated error or does the job, and stays up. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../support/random.ts";
import { newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { inParallel } from "../support/traffic.ts";

const requests = 1_500;

let stack: Stack;
let customer: Customer;

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  customer = await newCustomer(stack);
});
afterAll(() => stack.close());

const boundary = "a-boundary";
const chat = {
  model: "simulated-chat",
  messages: [{ role: "user", content: [{ type: "text", text: "häßlich \u0000 \ud83d" }, { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }] }],
  stream: true,
  stream_options: { include_usage: true },
  max_tokens: 5,
  seed: 1e300,
  stop: ["x"],
  tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
};

const bodies: [path: string, type: string, body: Buffer][] = [
  ["/v1/chat/completions", "application/json", Buffer.from(JSON.stringify(chat))],
  ["/v1/completions", "application/json", Buffer.from('{"model":"simulated-chat","prompt":["a",""],"max_tokens":3,"logprobs":2}')],
  ["/v1/embeddings", "application/json", Buffer.from('{"model":"simulated-embedding","input":[[1,2],[3]],"dimensions":4,"__proto__":{"a":1}}')],
  [
    "/v1/images/edits",
    `multipart/form-data; boundary=${boundary}`,
    Buffer.from(
      ["model\"\r\n\r\nsimulated-image", "prompt\"\r\n\r\na lake", "n\"\r\n\r\n1", "image\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n\x89PNG"]
        .map((part) => `--${boundary}\r\ncontent-disposition: form-data; name="${part}\r\n`)
        .join("") + `--${boundary}--\r\n`,
      "latin1",
    ),
  ],
];

const snippets = ['"', "{", "}", "[", "]", ",", ":", "\\", "\\u0000", "null", "-1", "1e999", "\r\n", "--", boundary, "\xff", "\x00", '"n":9,', '"stream":0,', "é"];

/** A few bytes changed, cut, doubled or put in. */
function damage(body: Buffer, random: () => number): Buffer {
  let damaged = Buffer.from(body);
  for (let times = 1 + Math.floor(random() * 3); times > 0; times -= 1) {
    const at = Math.floor(random() * (damaged.length + 1));
    const end = Math.min(damaged.length, at + Math.floor(random() * 12));
    const snippet = Buffer.from(snippets[Math.floor(random() * snippets.length)]!, "latin1");
    const kind = Math.floor(random() * 4);
    if (kind === 0) damaged = Buffer.concat([damaged.subarray(0, at), snippet, damaged.subarray(at)]);
    else if (kind === 1) damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(end)]);
    else if (kind === 2) damaged = Buffer.concat([damaged.subarray(0, end), damaged.subarray(at)]);
    else damaged = Buffer.concat([damaged.subarray(0, at), snippet, damaged.subarray(end)]);
  }
  return damaged;
}

async function post(path: string, type: string, body: Buffer): Promise<{ status: number; code: unknown }> {
  const response = await fetch(stack.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${customer.key}`, "content-type": type },
    body: new Uint8Array(body),
  });
  const text = await response.text();
  return { status: response.status, code: response.ok ? undefined : (JSON.parse(text) as { error: { code: unknown } }).error.code };
}

describe("damaged requests", () => {
  it("are answered or refused in stated ways, and never crash the proxy", async () => {
    const random = createRandom(20_261_124);
    const pid = stack.pidOf("proxy");
    const plan = Array.from({ length: requests }, () => {
      const [path, type, body] = bodies[Math.floor(random() * bodies.length)]!;
      return { path, type, body: damage(body, random) };
    });
    const answers = await inParallel(plan, 16, ({ path, type, body }) => post(path, type, body));
    const odd = answers.flatMap((answer, index) => (answer.status < 500 ? [] : [{ ...answer, body: plan[index]!.body.toString("latin1") }]));
    expect(odd).toEqual([]);
    // Else nothing was tested: most damage must be noticed, and some does no harm.
    expect(answers.filter(({ status }) => status >= 400).length).toBeGreaterThan(requests / 4);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(requests / 20);
    expect(stack.pidOf("proxy")).toBe(pid);
  });

  it("are billed as the engine counted them", async () => {
    await settled(stack);
    const rows = await usageOf(stack, customer.accountId);
    const sum = (name: string) => rows.reduce((total, row) => total + Number(row[name]), 0);
    const { total } = await stack.engine.counts();
    expect([sum("prompt_tokens"), sum("completion_tokens"), sum("images")]).toEqual([total.promptTokens, total.completionTokens, total.images]);
  });

  it.each([
    ["nested 100,000 deep", `{"model":"simulated-chat","messages":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["nested 100,000 deep in a field that passes through", `{"model":"simulated-chat","messages":[{"role":"user","content":"x"}],"logit_bias":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}`],
    ["with 100,000 unknown fields", `{"model":"simulated-chat","messages":[{"role":"user","content":"x"}],${Array.from({ length: 100_000 }, (_, index) => `"f${index}":1`).join()}}`],
    ["with a number of 1,000,000 digits", `{"model":"simulated-chat","messages":[{"role":"user","content":"x"}],"seed":${"9".repeat(1_000_000)}}`],
    ["with 20,000 messages", `{"model":"simulated-chat","messages":[${Array.from({ length: 20_000 }, () => '{"role":"user","content":"x"}').join()}]}`],
  ])("a body %s", async (_, body) => {
    const { status } = await post("/v1/chat/completions", "application/json", Buffer.from(body));
    expect([200, 400, 413]).toContain(status);
    expect((await post("/v1/embeddings", "application/json", Buffer.from('{"model":"simulated-embedding","input":"x"}'))).status).toBe(200);
  });
});
