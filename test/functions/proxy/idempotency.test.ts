import { afterEach, describe, expect, test } from "vitest";
import { DigestChainText } from "#shared/digest-chain.ts";
import { EpithreError } from "#shared/errors.ts";
import { createDigests, idempotencyKeyIn } from "../../../functions/proxy/idempotency.ts";
import { startProxy, type ProxySettings, type TestProxy } from "../../support/proxy.ts";
import { waitFor } from "../../support/wait.ts";

let proxy: TestProxy;
afterEach(() => proxy?.close());

async function start(settings?: ProxySettings): Promise<void> {
  proxy = await startProxy(settings);
  await waitFor("the proxy to be warm", async () => (await proxy.get("/v1/models")).ok);
}

const path = "/v1/chat/completions";
const chat = (text = "Halo", more: object = {}) => ({ model: "simulated-chat", messages: [{ role: "user", content: text }], max_tokens: 10, ...more });
const otherId = "019a0000-0000-7000-8000-00000000000f";
const completed = { outcome: "completed", requestId: otherId, chargedMicro: 1_234_567, status: 200 } as const;
const inProgress = { outcome: "in_progress", requestId: otherId } as const;

const post = (headers: Record<string, string>, body: object = chat()) => proxy.post(path, body, { headers });
const withKey = (body?: object) => post({ "idempotency-key": "a key of mine" }, body);
const errorOf = async (response: Response) => ((await response.json()) as any).error;

describe("a request with an Idempotency-Key", () => {
  test("is claimed by digests of the key, on the lease of its hold, and then runs", async () => {
    await start();
    const response = await withKey();
    expect(response.status).toBe(200);
    const [claim] = proxy.state.claims;
    expect(claim).toMatchObject({
      requestId: response.headers.get("x-request-id"), model: "simulated-chat", endpoint: "chat.completions", priceVersion: 1,
      leaseId: proxy.state.events[0]!.leaseId, keyId: proxy.state.events[0]!.keyId,
    });
    expect(claim!.digests.every((digest) => /^[0-9a-f]{64}$/.test(digest))).toBe(true);
    expect(JSON.stringify(proxy.state.claims)).not.toContain("a key of mine");
    expect(proxy.state.releases).toEqual([]);
  });

  test("asks nobody when there is no such header, and on routes that only read", async () => {
    await start();
    await (await post({})).text();
    await fetch(`${proxy.url}/v1/models`, { headers: { authorization: `Bearer ${proxy.key}`, "idempotency-key": "" } });
    expect(proxy.state.claims).toEqual([]);
  });

  test("that was completed is a 409 that names the charge, says not to try again, and costs nothing", async () => {
    await start();
    proxy.state.claimAnswers = [completed];
    const response = await withKey();
    expect(response.status).toBe(409);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-should-retry": "false", "x-epithre-original-request-id": otherId, "x-epithre-original-cost-micro-rupiah": "1234567",
    });
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "invalid_request_error", code: "idempotent_replay", param: null });
    for (const part of [otherId, "1.234567 rupiah", "status 200", "Bodies are not compared"]) expect(error.message).toContain(part);
    expect(proxy.state.events).toEqual([]);
    expect((await proxy.engine.counts()).total.requests).toBe(0);
    // Its hold is free again: the next call is paid from the same lease, for there is no more.
    proxy.state.availableMicro = 0;
    expect((await post({})).status).toBe(200);
  });

  test("that still runs is a 409 too, after a second look", async () => {
    await start();
    proxy.state.claimAnswers = [inProgress, inProgress];
    const response = await withKey();
    expect([response.status, response.headers.get("x-should-retry"), response.headers.get("retry-after")]).toEqual([409, "false", "5"]);
    expect(await errorOf(response)).toMatchObject({ code: "idempotency_in_progress", message: expect.stringContaining(otherId) });
    expect(proxy.state.claims).toHaveLength(2);
  });

  test("runs when the one before it has failed by the second look", async () => {
    await start();
    proxy.state.claimAnswers = [inProgress];
    expect((await withKey()).status).toBe(200);
  });

  test("is told of the first one also where the money is gone, and 402 only when there is none", async () => {
    await start();
    proxy.state.availableMicro = 0;
    proxy.state.claimAnswers = [completed, { outcome: "free" }];
    expect((await errorOf(await withKey())).code).toBe("idempotent_replay");
    expect((await errorOf(await withKey())).code).toBe("insufficient_quota");
    expect(proxy.state.claims.map(({ leaseId }) => leaseId)).toEqual([null, null]);
  });

  test("gives its claim back when no engine takes the call", async () => {
    await start({ backendUrls: ["http://127.0.0.1:1"] });
    // The breaker closes an engine that does not answer, until none is left to try.
    await waitFor("the engine to be given up", async () => (await errorOf(await post({}))).code === "overloaded");
    const response = await withKey();
    expect((await errorOf(response)).code).toBe("overloaded");
    await waitFor("the claim to be given back", () => proxy.state.releases.length === 1);
    const [claim] = proxy.state.claims;
    expect(proxy.state.releases).toEqual([{ accountId: claim!.accountId, digests: claim!.digests, requestId: claim!.requestId }]);
  });

  test("is 503 while usage-record does not answer, and gives back what it may have claimed", async () => {
    await start();
    proxy.state.claimAnswers = [new EpithreError("unavailable", "away", { retryAfterS: 1 })];
    const response = await withKey();
    expect([response.status, response.headers.get("retry-after"), response.headers.get("x-should-retry")]).toEqual([503, "1", null]);
    await waitFor("the claim to be given back", () => proxy.state.releases.length === 1);
    expect(proxy.state.events).toEqual([]);
  });

  test("is 429 when the account has made too many", async () => {
    await start();
    proxy.state.claimAnswers = [{ outcome: "too_many" }];
    const response = await withKey();
    expect([response.status, response.headers.get("x-should-retry"), response.headers.get("retry-after")]).toEqual([429, "false", "60"]);
    expect((await errorOf(response)).message).toContain("10000 requests of this account");
  });

  test("shows browsers the headers that say so", async () => {
    await start();
    const response = await post({ origin: "https://example.com" });
    const exposed = response.headers.get("access-control-expose-headers")!.split(", ");
    expect(exposed).toEqual(expect.arrayContaining(["x-should-retry", "x-epithre-original-request-id", "x-epithre-original-cost-micro-rupiah"]));
  });

  test.each([
    ["is empty", "", "it is empty"],
    ["is too long", "k".repeat(256), "256 characters, 255 allowed"],
  ])("that %s is a 400, before the body is looked at", async (_, value, state) => {
    await start();
    const response = await post({ "idempotency-key": value }, { model: "no such model" });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain(`Cannot take this Idempotency-Key: ${state}`);
    expect(proxy.state.claims).toEqual([]);
  });
});

describe("idempotencyKeyIn()", () => {
  test("takes up to 255 characters as they are", () => {
    for (const value of ["k", "k".repeat(255)]) expect(idempotencyKeyIn({ "idempotency-key": value })).toBe(value);
    expect(idempotencyKeyIn({})).toBeUndefined();
  });
});

describe("createDigests()", () => {
  const noon = Date.UTC(2026, 4, 2, 12);
  const [one, other] = ["019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000002"] as const;
  const at = (nowMs: number, secret = "a secret of tests") =>
    createDigests(DigestChainText.parse(secret), { monotonicMs: () => 0, wallMs: () => nowMs });

  test("differ by value, account, day and secret, and not by replica (keep.usage)", () => {
    const [today, yesterday] = at(noon)(one, "k");
    expect(at(noon)(one, "k")).toEqual([today, yesterday]);
    const others = [...at(noon)(one, "l"), ...at(noon)(other, "k"), ...at(noon, "another secret of tests")(one, "k")];
    expect(new Set([today, yesterday, ...others]).size).toBe(8);
  });

  test("of yesterday are what today's were yesterday", () => {
    expect(at(noon)(one, "k")[1]).toBe(at(noon - 24 * 3_600_000)(one, "k")[0]);
  });

  test("are none on a clock before the secret's own day", () => {
    const digestsOf = at(noon, "a secret of tests@2026-05-03");
    expect(() => digestsOf(one, "k")).toThrow("Cannot take an Idempotency-Key now");
    expect(at(noon + 24 * 3_600_000, "a secret of tests@2026-05-03")(one, "k")).toHaveLength(1);
  });
});
