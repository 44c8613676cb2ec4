import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { accountId, startProxy, type ProxySettings, type TestProxy } from "../../support/proxy.ts";
import { waitFor } from "../../support/wait.ts";

let proxy: TestProxy;
let servers: Server[] = [];
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
  await proxy?.close();
});

async function start(settings?: ProxySettings): Promise<TestProxy> {
  proxy = await startProxy(settings);
  await waitFor("the proxy to be warm", async () => (await proxy.get("/v1/models")).ok);
  return proxy;
}

const chat = (text: string, more: object = {}) => ({ model: "simulated-chat", messages: [{ role: "user", content: text }], max_tokens: 100, ...more });
const path = "/v1/chat/completions";
const errorOf = async (response: Response) => ({ status: response.status, ...((await response.json()) as any).error });

/** The one event, once it is there. */
async function onlyEvent() {
  await waitFor("the settlement", () => proxy.state.events.length > 0);
  expect(proxy.state.events).toHaveLength(1);
  return proxy.state.events[0]!;
}

async function readAll(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true });
  } catch {
    text += "(broken off)";
  }
  return text;
}

describe("who pays for what", () => {
  test("a JSON answer costs what the engine counted, and says so", async () => {
    await start();
    const response = await proxy.post(path, chat("Halo"));
    const { usage } = (await response.json()) as any;
    const event = await onlyEvent();
    expect(event).toMatchObject({ promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens, status: 200 });
    expect(event.costMicro).toBe(usage.prompt_tokens * 2 + usage.completion_tokens * 5);
    expect(usage.cost_micro_rupiah).toBe(event.costMicro);
    expect(response.headers.get("x-request-id")).toBe(event.requestId);
    const counts = await proxy.engine.counts();
    expect(event.completionTokens).toBe(Object.values(counts.models)[0]!.completionTokens);
  });

  test("a caller that leaves a stream ends the backend's work and pays for what was generated", async () => {
    await start();
    const leave = new AbortController();
    const response = await proxy.post(path, chat("[[simulate tokens=100 interval_ms=20]]", { stream: true }), { signal: leave.signal });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.read();
    leave.abort();
    const event = await onlyEvent();
    expect(event.status).toBe(499);
    expect(event.completionTokens).toBeGreaterThan(0);
    expect(event.completionTokens).toBeLessThan(100);
    await waitFor("the backend call to end", async () => Object.values((await proxy.engine.counts()).models)[0]!.aborted === 1);
  });

  test("a caller that leaves a JSON call pays nothing", async () => {
    await start();
    const leave = new AbortController();
    const answer = proxy.post(path, chat("[[simulate tokens=50 interval_ms=20]]"), { signal: leave.signal }).catch(() => {});
    await waitFor("the call to run", () => proxy.runningCalls.count === 1);
    leave.abort();
    await answer;
    expect(await onlyEvent()).toMatchObject({ status: 499, costMicro: 0 });
  });

  test("a backend that fails after output is charged for what was delivered, and the stream ends in an error", async () => {
    await start();
    const response = await proxy.post(path, chat("[[simulate tokens=20 reset after=7 flush]]", { stream: true }));
    const text = await readAll(response);
    expect(text).toContain('"code":"backend_error"');
    expect(text).not.toContain("[DONE]");
    expect(await onlyEvent()).toMatchObject({ status: 502, completionTokens: 7 });
  });

  test("a stream that ends cleanly without [DONE] is an error", async () => {
    await start();
    const text = await readAll(await proxy.post(path, chat("[[simulate tokens=20 end after=7 flush]]", { stream: true })));
    expect(text).toContain('"code":"backend_error"');
  });

  test.each([
    ["missing", 0],
    ["negative", 0],
    ["huge", 0],
    ["zero", 0],
  ])("usage that is %s is never charged", async (wrong, cost) => {
    await start();
    await (await proxy.post(path, chat(`[[simulate usage=${wrong}]]`))).text();
    expect((await onlyEvent()).costMicro).toBe(cost);
  });

  test("nothing complete reaches a caller whose settlement did not commit", async () => {
    await start();
    proxy.state.settlementsAway = true;
    const text = await readAll(await proxy.post(path, chat("x", { stream: true, stream_options: { include_usage: true } })));
    expect(text).toContain('"code":"not_settled"');
    expect(text).not.toMatch(/"finish_reason":"|\[DONE\]|completion_tokens/);
    proxy.state.settlementsAway = false;
    expect(await onlyEvent()).toMatchObject({ status: 503, costMicro: 0 });
  }, 15_000);

  test("a stream over the limit ends in an error event and is charged for what was delivered", async () => {
    await start({ streamLimitMs: 300 });
    const text = await readAll(await proxy.post(path, chat("[[simulate tokens=100 interval_ms=20]]", { stream: true })));
    expect(text).toContain('"code":"backend_timeout"');
    expect((await onlyEvent()).completionTokens).toBeGreaterThan(0);
  });

  test("a suspended account's running stream is cut with an error event", async () => {
    await start();
    const response = await proxy.post(path, chat("[[simulate tokens=100 interval_ms=50]]", { stream: true }));
    proxy.state.changes.accounts.push({ accountId, status: "suspended" });
    expect(await readAll(response)).toContain('"code":"account_suspended"');
  });

  test("money that is held is refused to others with 402, and unused money comes back", async () => {
    await start();
    const body = chat("[[simulate tokens=20 interval_ms=20]]", { max_tokens: 100 });
    const bound = JSON.stringify(body).length + 256;
    proxy.state.availableMicro = bound * 2 + 100 * 5;
    const first = proxy.post(path, body);
    await waitFor("the call to run", () => proxy.runningCalls.count === 1);
    expect(await errorOf(await proxy.post(path, body))).toMatchObject({ status: 402, code: "insufficient_quota" });
    await (await first).text();
    await waitFor("the money to be free", () => proxy.state.events.length === 1);
    expect((await proxy.post(path, chat("x", { max_tokens: 20 }))).status).toBe(200);
  });
});

describe("x-epithre-clamp (design: one request, 3)", () => {
  const clamped = { headers: { "x-epithre-clamp": "true" } };
  const limitOf = (response: Response) => response.headers.get("x-epithre-clamped-max-tokens");
  /** Money for the prompt of `body` and so many tokens of output. */
  const moneyFor = (body: object, tokens: number) => (JSON.stringify(body).length + 8) * 2 + tokens * 5;

  test.each([
    ["max_tokens", {}, 12, 12],
    ["a limit under its other name", { max_tokens: undefined, max_completion_tokens: 100 }, 12, 12],
    ["no limit of its own", { max_tokens: undefined }, 12, 12],
    ["two answers", { n: 2 }, 25, 12],
  ])("lets a call with %s generate what the account can pay for, and says so", async (_, more, affordable, limit) => {
    await start();
    const body = chat("[[simulate tokens=90]]", more);
    proxy.state.availableMicro = moneyFor(body, affordable);
    const response = await proxy.post(path, body, clamped);
    expect([response.status, limitOf(response)]).toEqual([200, String(limit)]);
    const { choices, usage } = (await response.json()) as any;
    // The engine was told the limit: it stopped there.
    expect(choices[0].finish_reason).toBe("length");
    expect(usage.completion_tokens).toBe(limit * choices.length);
    const event = await onlyEvent();
    expect(event.completionTokens).toBe(limit * choices.length);
    expect(event.costMicro).toBeLessThanOrEqual(moneyFor(body, affordable));
  });

  test("says it at the head of a stream too, and leaves a call alone that the account can pay for", async () => {
    await start();
    const body = chat("[[simulate tokens=90]]", { stream: true });
    proxy.state.availableMicro = moneyFor(body, 7);
    const poor = await proxy.post(path, body, clamped);
    expect(limitOf(poor)).toBe("7");
    expect(await readAll(poor)).toContain("[DONE]");
    proxy.state.availableMicro = 1e9;
    const rich = await proxy.post(path, body, clamped);
    expect([rich.status, limitOf(rich)]).toEqual([200, null]);
    await readAll(rich);
    expect(proxy.state.events.at(-1)).toMatchObject({ completionTokens: 90 });
  });

  test("is an offer: without it, or with less money than one token of output, the call is refused with 402", async () => {
    await start();
    const body = chat("[[simulate tokens=90]]");
    proxy.state.availableMicro = moneyFor(body, 1) - 1;
    expect((await proxy.post(path, body, clamped)).status).toBe(402);
    proxy.state.availableMicro = moneyFor(body, 50);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await proxy.post(path, body)).status).toBe(402);
    expect((await proxy.post(path, body, { headers: { "x-epithre-clamp": "false" } })).status).toBe(402);
    // The account was refused a moment ago: what it has is known, and is enough for fewer tokens.
    expect(limitOf(await proxy.post(path, body, clamped))).toBe("50");
  });

  test("cannot shrink what has no output limit, and takes no other value", async () => {
    await start();
    proxy.state.availableMicro = 1;
    const embedding = { model: "simulated-embedding", input: "a" };
    expect((await proxy.post("/v1/embeddings", embedding, clamped)).status).toBe(402);
    const odd = await errorOf(await proxy.post(path, chat("x"), { headers: { "x-epithre-clamp": "yes" } }));
    expect(odd).toMatchObject({ status: 400, message: expect.stringContaining("x-epithre-clamp") });
  });
});

describe("errors of the engine", () => {
  test.each([
    ["status=500", 502, "backend_error"],
    ["status=503", 503, "service_unavailable|overloaded"],
    ["status=400", 400, "backend_rejected"],
    ["error=context", 400, "context_length_exceeded"],
    ["error=context_new", 400, "context_length_exceeded"],
    ["garbage", 502, "backend_error"],
    ["reset", 502, "backend_error"],
  ])("%s becomes %i without a word of the engine's text (content.none)", async (word, status, code) => {
    await start();
    const response = await proxy.post(path, chat(`[[simulate ${word} echo]] canary-71`));
    const text = await response.text();
    expect(response.status).toBe(status);
    expect(JSON.parse(text).error.code ?? "").toMatch(new RegExp(`^(${code})$`));
    expect(text).not.toContain("canary");
  });

  test("prompts that an engine fails on do not close it to others", async () => {
    await start();
    for (let index = 0; index < 8; index += 1) expect((await proxy.post(path, chat("[[simulate status=500]]"))).status).toBe(502);
    expect((await proxy.post(path, chat("x"))).status).toBe(200);
  });

  test("a silent engine is a time-out", async () => {
    await start({ firstByteTimeoutMs: 300, idleTimeoutMs: 300 });
    expect(await errorOf(await proxy.post(path, chat("[[simulate hang]]")))).toMatchObject({ status: 504, code: "backend_timeout" });
    const text = await readAll(await proxy.post(path, chat("[[simulate hang after=3 flush]]", { stream: true })));
    expect(text).toContain('"code":"backend_timeout"');
  });

  test("a call goes to another engine while nothing has come back, and once the engine is gone it is left alone", async () => {
    const dead = createServer((request) => request.socket.destroy());
    servers.push(dead);
    await new Promise<void>((resolve) => dead.listen(0, "127.0.0.1", resolve));
    const second = await startProxy();
    try {
      await start({ backendUrls: [`http://127.0.0.1:${(dead.address() as AddressInfo).port}`, second.engine.url] });
      for (let index = 0; index < 8; index += 1) expect((await proxy.post(path, chat("x"))).status).toBe(200);
      expect(proxy.state.events.filter(({ status }) => status === 200)).toHaveLength(8);
    } finally {
      await second.close();
    }
  });
});

describe("limits", () => {
  test("a body beyond the limit is 413, read or not", async () => {
    await start();
    expect(await errorOf(await proxy.post(path, "x".repeat(25 * 1024 * 1024)))).toMatchObject({ status: 413, code: "request_too_large" });
    expect(proxy.bodies.usedBytes).toBe(0);
  });

  test("bodies beyond the budget of all are 503, and the budget comes back", async () => {
    await start({ bodyBudgetBytes: 3_000_000 });
    const large = chat("y".repeat(2_000_000));
    const statuses = await Promise.all([proxy.post(path, large), proxy.post(path, large)].map(async (each) => (await each).status));
    expect(statuses.sort()).toContain(503);
    await waitFor("the budget", () => proxy.bodies.usedBytes === 0);
    expect((await proxy.post(path, chat("x"))).status).toBe(200);
  });

  test("a large body is read in a thread and forwarded byte for byte", async () => {
    await start();
    const response = await proxy.post(path, chat(`[[simulate status=200]] ${"z".repeat(1_200_000)}`, { seed: 5 }));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).code).toBe("context_length_exceeded");
    expect(await errorOf(await proxy.post(path, `{"model":1,"x":"${"z".repeat(1_200_000)}"}`))).toMatchObject({ status: 400, param: "model" });
  });

  test("a deeply nested body is refused or read, never a crash", async () => {
    await start();
    for (const size of [100_000, 2_000_000]) {
      const response = await proxy.post(path, `{"model":"simulated-chat","messages":${"[".repeat(size / 2)}${"]".repeat(size / 2)}}`);
      expect(response.status).toBe(400);
    }
    expect((await proxy.post(path, chat("x"))).status).toBe(200);
  });

  test("compressed bodies and other types are refused before they are read", async () => {
    await start();
    expect((await errorOf(await proxy.post(path, "x", { headers: { "content-encoding": "gzip" } }))).status).toBe(415);
    expect((await errorOf(await proxy.post(path, "x", { headers: { "content-type": "text/plain" } }))).status).toBe(415);
  });

  test("a key's monthly budget is a 402 of its own, which no SDK tries again", async () => {
    await start({ verdict: { monthlyBudgetMicro: "1000000" } });
    proxy.state.budgetMicro = 10;
    const refused = await proxy.post(path, chat("x"));
    expect(refused.headers.get("retry-after")).toBeNull();
    const error = await errorOf(refused);
    expect(error).toMatchObject({ status: 402, type: "insufficient_quota", code: "billing_hard_limit_reached" });
    expect(error.message).toContain("monthly budget");
    expect(error.message).toContain("renews at 2026-12-01T00:00:00.000Z");
  });

  test("a key's requests per minute are kept, with the headers that SDKs read", async () => {
    await start({ verdict: { requestsPerMinute: 2, tokensPerMinute: 1_000 } });
    const first = await proxy.post(path, chat("x"));
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    await proxy.post(path, chat("x"));
    const third = await proxy.post(path, chat("x"));
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await errorOf(third)).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(third.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(third.headers.get("x-ratelimit-reset-requests")).toBe("1m1s");
    expect(third.headers.get("x-ratelimit-limit-tokens")).toBe("1000");
  });

  test("an account that is throttled is told why and until when, in the headers too, and its key's own limit still counts (use.usage)", async () => {
    const endsAtMs = Date.now() + 60_000;
    const throttle = { keyId: randomUUID(), requestsPerMinute: 2, signal: "left", endsAtMs } as const;
    await start({ verdict: { requestsPerMinute: 100, throttle } });
    const first = await proxy.post(path, chat("x"));
    expect([first.status, first.headers.get("x-ratelimit-limit-requests")]).toEqual([200, "2"]);
    await proxy.post(path, chat("x"));
    expect(proxy.state.used).toMatchObject({ requests: 2, throttle: 2 });
    const third = await proxy.post(path, chat("x"));
    expect(third.headers.get("retry-after")).toBe("30");
    const until = new Date(endsAtMs).toISOString().slice(0, 19);
    const { message, ...error } = await errorOf(third);
    expect(error).toMatchObject({ status: 429, type: "rate_limit_error", code: "rate_limit_exceeded" });
    expect(message).toContain(`limited to 2 requests a minute until ${until}Z, for most of its calls were left before their end`);
    expect(proxy.state.used.requests).toBe(2);
    expect(proxy.engine.counts().total.requests).toBe(2);
  });

  test("a throttle ends by itself, at the time that the verdict names", async () => {
    const throttle = { keyId: randomUUID(), requestsPerMinute: 1, signal: "errors", endsAtMs: Date.now() + 1_000 } as const;
    await start({ verdict: { throttle } });
    await proxy.post(path, chat("x"));
    expect((await proxy.post(path, chat("x"))).status).toBe(429);
    const answer = await waitFor("the end of the throttle", async () => {
      const response = await proxy.post(path, chat("x"));
      return response.status === 200 && response;
    });
    expect(Date.now()).toBeGreaterThanOrEqual(throttle.endsAtMs);
    expect(answer.headers.has("x-ratelimit-limit-requests")).toBe(false);
    expect(proxy.state.used).toMatchObject({ requests: 0, throttle: 1 });
  });

  test("a key's tokens per minute are taken before a call, and put right by what it used", async () => {
    await start({ verdict: { tokensPerMinute: 1_000 } });
    const running = proxy.post(path, chat("[[simulate tokens=300 interval_ms=1]]", { max_tokens: 600 }));
    await waitFor("the call to run", () => proxy.runningCalls.count === 1);
    const taken = proxy.state.used.tokens;
    expect(taken).toBeGreaterThan(600);
    expect(await errorOf(await proxy.post(path, chat("x", { max_tokens: 600 })))).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    // A smaller one still fits.
    expect((await proxy.post(path, chat("x", { max_tokens: 5 }))).headers.get("x-ratelimit-limit-tokens")).toBe("1000");
    const { usage } = (await (await running).json()) as any;
    expect(usage.completion_tokens).toBe(300);
    const [first, second] = await waitFor("both settlements", () => proxy.state.events.length === 2 && proxy.state.events);
    const used = [first!, second!].reduce((sum, { promptTokens, completionTokens }) => sum + promptTokens + completionTokens, 0);
    await waitFor("the use to be put right", () => proxy.state.used.tokens === used);
  });

  test("tokens taken for a call that never ran are given back", async () => {
    await start({ verdict: { tokensPerMinute: 1_000 } });
    proxy.state.availableMicro = 0;
    expect((await proxy.post(path, chat("x"))).status).toBe(402);
    await waitFor("the tokens to be given back", () => proxy.state.used.tokens === 0);
  });

  test("a call likely to use more than the whole limit takes the whole minute", async () => {
    await start({ verdict: { tokensPerMinute: 50 } });
    const whole = await proxy.post(path, chat("x", { max_tokens: 400 }));
    expect([whole.status, whole.headers.get("x-ratelimit-remaining-tokens")]).toEqual([200, "0"]);
  });
});

describe("lookups", () => {
  test("lists models with price and context, one model, and the key's own limits and balance", async () => {
    await start();
    const { data } = (await (await proxy.get("/v1/models")).json()) as any;
    const model = data.find(({ id }: { id: string }) => id === "simulated-chat");
    expect(model).toMatchObject({ object: "model", context_length: expect.any(Number), pricing: { currency: "IDR", input_per_million_tokens: 2 } });
    expect(await (await proxy.get("/v1/models/simulated-chat")).json()).toEqual(model);
    expect(await errorOf(await proxy.get("/v1/models/none"))).toMatchObject({ status: 404, code: "model_not_found" });
    const key = { object: "key", balance: { amount: "1.500000", available: "1.000000" }, budget: null };
    expect(await (await proxy.get("/v1/key")).json()).toMatchObject(key);
  });

  test("shows a key's monthly budget, what is spent of it and when it renews", async () => {
    await start({ verdict: { monthlyBudgetMicro: "90000000000000001" } });
    expect(((await (await proxy.get("/v1/key")).json()) as any).budget).toEqual({
      currency: "IDR", period: "month", amount: "90000000000.000001", spent: "0.250000", renews_at: "2026-12-01T00:00:00.000Z",
    });
  });

  test("lets browsers call with their own key", async () => {
    await start();
    const headers = { origin: "https://app.example.com" };
    const preflight = await fetch(proxy.url + path, { method: "OPTIONS", headers });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    const answer = await proxy.post(path, chat("x"), { headers });
    const refusal = await fetch(proxy.url + path, { method: "POST", headers });
    for (const response of [preflight, answer, refusal]) expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-expose-headers")).toContain("x-ratelimit-remaining-tokens");
  });
});
