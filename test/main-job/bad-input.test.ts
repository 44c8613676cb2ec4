/** Each kind of bad input has its clear error, of the shape and status that OpenAI's SDKs know. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateKey } from "#shared/keys.ts";
import { newCustomer, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";

let stack: Stack;
let customer: Customer;
let narrow: Customer;
let broke: Customer;
let revoked: Customer;

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  customer = await newCustomer(stack);
  narrow = await newCustomer(stack, { scopes: ["embeddings"] });
  broke = await newCustomer(stack, {}, 0);
  revoked = await newCustomer(stack);
  await stack.operator.revokeKey(revoked.keyId);
});
afterAll(() => stack.close());

interface Bad {
  what: string;
  path?: string;
  method?: string;
  key?: () => string | null;
  headers?: Record<string, string>;
  body?: BodyInit | object;
  status: number;
  code: string | null;
  param?: string;
}

const chat = (more: object = {}) => ({ model: "simulated-chat", messages: [{ role: "user", content: "hi" }], ...more });
const megabytes = (count: number) => "x".repeat(count * 1024 * 1024);

function form(fields: Record<string, string>): FormData {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
}

const table: Bad[] = [
  { what: "malformed JSON", body: '{"model": "simulated-chat", "messages": [', status: 400, code: "invalid_json" },
  { what: "JSON that is no object", body: "[1, 2]", status: 400, code: "invalid_json" },
  { what: "an empty body", body: "", status: 400, code: "invalid_json" },
  { what: "no model", body: { messages: [{ role: "user", content: "hi" }] }, status: 400, code: null, param: "model" },
  { what: "no messages", body: { model: "simulated-chat" }, status: 400, code: null, param: "messages" },
  { what: "messages of a wrong type", body: chat({ messages: "hi" }), status: 400, code: null, param: "messages" },
  { what: "temperature of a wrong type", body: chat({ temperature: "hot" }), status: 400, code: null, param: "temperature" },
  { what: "n of 0", body: chat({ n: 0 }), status: 400, code: null, param: "n" },
  { what: "a negative limit", body: chat({ max_tokens: -1 }), status: 400, code: null, param: "max_tokens" },
  { what: "a field given twice", body: '{"model":"simulated-chat","model":"other","messages":[]}', status: 400, code: null },
  { what: "a stored completion", body: chat({ store: true }), status: 400, code: "zero_retention", param: "store" },
  {
    what: "an image by link",
    body: chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://example.com/a.png" } }] }] }),
    status: 400,
    code: "invalid_image_url",
  },
  { what: "an image answer by link", path: "/v1/images/generations", body: { model: "simulated-image", prompt: "x", response_format: "url" }, status: 400, code: "unsupported_value", param: "response_format" },
  { what: "an unknown model", body: chat({ model: "nothing" }), status: 404, code: "model_not_found", param: "model" },
  { what: "a model of another kind", body: chat({ model: "simulated-embedding" }), status: 400, code: null, param: "model" },
  { what: "a prompt beyond the context", body: chat({ model: "simulated-chat-small", messages: [{ role: "user", content: "x".repeat(3_000) }] }), status: 400, code: "context_length_exceeded" },
  { what: "no key", key: () => null, body: chat(), status: 401, code: "missing_api_key" },
  { what: "a malformed key", key: () => "ep_nonsense", body: chat(), status: 401, code: "invalid_api_key" },
  { what: "an unknown key", key: () => generateKey(), body: chat(), status: 401, code: "invalid_api_key" },
  { what: "a revoked key", key: () => revoked.key, body: chat(), status: 401, code: "invalid_api_key" },
  { what: "a key without the scope", key: () => narrow.key, body: chat(), status: 403, code: "insufficient_permissions" },
  { what: "no money", key: () => broke.key, body: chat(), status: 402, code: "insufficient_quota" },
  { what: "an unknown route", path: "/v1/nowhere", body: chat(), status: 404, code: "unknown_url" },
  { what: "a route of OpenAI's that would store content", path: "/v1/files", body: chat(), status: 400, code: "zero_retention" },
  { what: "GET where it takes POST", path: "/v1/chat/completions", method: "GET", status: 405, code: "method_not_allowed" },
  { what: "POST where it takes GET", path: "/v1/models", body: chat(), status: 405, code: "method_not_allowed" },
  { what: "DELETE of a model", path: "/v1/models/simulated-chat", method: "DELETE", status: 405, code: "method_not_allowed" },
  { what: "an oversized JSON body", body: megabytes(25), headers: { "content-type": "application/json" }, status: 413, code: "request_too_large" },
  { what: "an oversized form", path: "/v1/images/edits", body: form({ model: "simulated-image", prompt: megabytes(49) }), status: 413, code: "request_too_large" },
  { what: "a compressed body", body: new Uint8Array(gzipSync(JSON.stringify(chat()))), headers: { "content-encoding": "gzip", "content-type": "application/json" }, status: 415, code: "unsupported_encoding" },
  { what: "a body that does not say what it is", body: JSON.stringify(chat()), headers: { "content-type": "text/plain" }, status: 415, code: "unsupported_media_type" },
  { what: "JSON where it takes a form", path: "/v1/images/edits", body: { model: "simulated-image", prompt: "x" }, status: 415, code: "unsupported_media_type" },
  { what: "a form without an image", path: "/v1/images/edits", body: form({ model: "simulated-image", prompt: "x" }), status: 400, code: null },
  { what: "embedding nothing", path: "/v1/embeddings", body: { model: "simulated-embedding", input: [] }, status: 400, code: null, param: "input" },
  { what: "a queued call", path: "/async-function/proxy/v1/chat/completions", body: chat(), status: 501, code: "queueing_refused" },
];

async function ask({ path = "/v1/chat/completions", method = "POST", key = () => customer.key, headers = {}, body }: Bad): Promise<Response> {
  const given = key();
  const isJson = typeof body === "object" && !(body instanceof FormData) && !(body instanceof Uint8Array);
  return fetch(stack.url + path, {
    method,
    headers: {
      ...(given === null ? {} : { authorization: `Bearer ${given}` }),
      ...(isJson || typeof body === "string" ? { "content-type": "application/json" } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as BodyInit) }),
  });
}

describe("bad input", () => {
  it.each(table)("$what: $status $code", async (bad) => {
    const response = await ask(bad);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect({ status: response.status, code: error.code }).toEqual({ status: bad.status, code: bad.code });
    expect(error).toEqual({ message: expect.stringMatching(/^Cannot .+: .+/), type: expect.any(String), param: bad.param ?? error.param, code: bad.code });
    if (bad.status === 405) expect(response.headers.get("allow")).toContain(bad.method === "GET" || bad.path === "/v1/chat/completions" ? "POST" : "GET");
  });

  it("never reaches the engine, and leaves no usage event", async () => {
    const before = (await stack.engine.counts()).total.requests;
    const rowsBefore = (await usageOf(stack, customer.accountId)).length;
    // The engine itself says what fits its context.
    for (const bad of table.filter(({ code }) => code !== "context_length_exceeded" && code !== null)) await (await ask(bad)).arrayBuffer();
    expect((await stack.engine.counts()).total.requests).toBe(before);
    expect(await usageOf(stack, customer.accountId)).toHaveLength(rowsBefore);
  });

  it("a caller who sends half a body and leaves leaves nothing", async () => {
    const rowsBefore = (await usageOf(stack, customer.accountId)).length;
    const leaving = new AbortController();
    const halfBody = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"model":"simulated-chat",'));
        setTimeout(() => leaving.abort(), 100);
      },
    });
    const call = fetch(`${stack.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${customer.key}`, "content-type": "application/json" },
      body: halfBody,
      duplex: "half",
      signal: leaving.signal,
    } as RequestInit);
    await expect(call).rejects.toThrow();
    expect((await stack.engine.counts()).open).toBe(0);
    expect(await usageOf(stack, customer.accountId)).toHaveLength(rowsBefore);
  });

  it("browsers may call with their own key: CORS on /v1", async () => {
    const preflight = await fetch(`${stack.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: { origin: "https://example.com", "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    const fromBrowser = { origin: "https://example.com" };
    const answer = await ask({ what: "an error", key: () => null, headers: fromBrowser, body: chat(), status: 401, code: "missing_api_key" });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("set-cookie")).toBeNull();
  });
});
