/** Who pays for what when a call ends early, and what the operator is told of it (design: one request, 6 and 7). */
import { afterEach, describe, expect, test } from "vitest";
import { startProxy, type ProxySettings, type TestProxy } from "../../support/proxy.ts";
import { send } from "../../support/traffic.ts";
import { waitFor } from "../../support/wait.ts";

/** Milliseconds within which a caller that left has ended the backend's work: the promise. */
const abortWithinMs = 1_000;

let proxy: TestProxy;
afterEach(() => proxy?.close());

async function start(settings?: ProxySettings): Promise<void> {
  proxy = await startProxy(settings);
  await waitFor("the proxy to be warm", async () => (await proxy.get("/v1/models")).ok);
}

const chat = (words: string, more: object = {}) => ({
  model: "simulated-chat", messages: [{ role: "user", content: `[[simulate ${words}]]` }], max_tokens: 100, ...more,
});
const stream = { stream: true };
const call = (words: string, more: object = {}, leave: { leaveAfterMs?: number; leaveAfterDeltas?: number } = {}) =>
  send({ url: proxy.url, key: proxy.key, body: chat(words, more), ...leave });

async function onlyEvent() {
  await waitFor("the settlement", () => proxy.state.events.length > 0);
  expect(proxy.state.events).toHaveLength(1);
  return proxy.state.events[0]!;
}

/** Value of one line of the metrics, 0 where there is none. */
async function metric(line: string): Promise<number> {
  const text = await proxy.metrics.text();
  return Number(text.split("\n").find((each) => each.startsWith(`${line} `))?.slice(line.length + 1) ?? 0);
}
const sourceCount = (source: string) => metric(`epithre_proxy_usage_source_total{source="${source}",backend="0"}`);

describe("a caller that leaves", () => {
  test.each([
    ["a stream before its first byte", "delay_ms=5000", stream, { leaveAfterMs: 200 }, 0],
    ["a stream before its first token", "hang after=0", stream, { leaveAfterMs: 200 }, 0],
    ["a stream in the middle", "hang after=7 flush", stream, { leaveAfterDeltas: 7 }, 7],
    ["a stream whose tokens are all there, before its usage", "tokens=9 hang after=9 flush", stream, { leaveAfterMs: 300 }, 9],
    ["a JSON call", "delay_ms=5000", {}, { leaveAfterMs: 200 }, 0],
  ])("%s ends the backend's work within a second, and pays for what was generated", async (_, words, more, leave, tokens) => {
    await start();
    const { endedAtMs } = await call(words, more, leave);
    const aborted = async () => (await proxy.engine.counts()).total.aborted === 1;
    await waitFor("the backend's work to end", aborted);
    expect(performance.now() - endedAtMs).toBeLessThan(abortWithinMs);
    const event = await onlyEvent();
    expect(event).toMatchObject({ status: 499, completionTokens: tokens });
    expect(event.costMicro).toBe(tokens === 0 ? 0 : event.promptTokens * 2 + tokens * 5);
  });
});

describe("a request that produced nothing", () => {
  test.each([
    ["the engine fails", "status=500", {}, 502],
    ["the engine is full", "status=503", stream, 503],
    ["the engine refuses it", "status=400", {}, 400],
    ["the engine's stream breaks before a token", "error_event after=0", stream, 502],
    ["the engine is silent", "hang", {}, 504],
  ])("costs nothing when %s", async (_, words, more, status) => {
    await start({ firstByteTimeoutMs: 300 });
    expect((await call(words, more)).complete).toBe(false);
    expect(await onlyEvent()).toMatchObject({ status, promptTokens: 0, completionTokens: 0, costMicro: 0 });
  });
});

describe("a settlement that is not known", () => {
  test.each([["JSON", {}], ["stream", stream]])("keeps what is complete from the caller of a %s, and is void and counted once it is known", async (_, more) => {
    await start();
    proxy.state.settlementsAway = true;
    const outcome = await call("tokens=5", more);
    expect(outcome).toMatchObject({ complete: false, errorCode: "not_settled", usage: undefined });
    proxy.state.settlementsAway = false;
    expect(await onlyEvent()).toMatchObject({ requestId: outcome.requestId, status: 503, costMicro: 0, completionTokens: 0 });
    expect(await metric('epithre_proxy_settlements_total{outcome="voided"}')).toBe(1);
    expect(await metric('epithre_proxy_settlements_total{outcome="settled"}')).toBe(0);
  }, 20_000);
});

describe("where the usage came from, as a metric", () => {
  test.each([
    ["reported", "the engine says it", "tokens=5", {}, {}],
    ["reported", "a stream says it with each token", "hang after=5 flush", stream, { leaveAfterDeltas: 5 }],
    ["counted", "a stream that breaks off says nothing", "usage=missing hang after=5 flush", stream, { leaveAfterDeltas: 5 }],
    ["none", "there was nothing yet", "hang after=0", stream, { leaveAfterMs: 200 }],
    ["invalid", "a whole answer does not say it", "usage=missing", {}, {}],
    ["invalid", "it is not a number", "usage=nan", {}, {}],
    ["invalid", "it is more than was asked for", "usage=huge", stream, {}],
    ["invalid", "it is negative", "usage=negative", stream, {}],
  ])("is %s when %s", async (source, _, words, more, leave) => {
    await start();
    await call(words, more, leave);
    const event = await onlyEvent();
    for (const each of ["reported", "counted", "none", "invalid"]) expect([each, await sourceCount(each)]).toEqual([each, each === source ? 1 : 0]);
    // Counted or reported by the token, 5 were generated; what is invalid is never charged.
    expect(event.completionTokens).toBe(source === "reported" || source === "counted" ? 5 : 0);
    if (source === "invalid" || source === "none") expect(event.costMicro).toBe(0);
  });

  test("explicit zero is reported, and stays zero", async () => {
    await start();
    expect(await call("usage=zero")).toMatchObject({ complete: true });
    expect(await onlyEvent()).toMatchObject({ costMicro: 0, status: 200 });
    expect(await sourceCount("reported")).toBe(1);
  });
});
