import { afterEach, beforeEach, expect, test } from "vitest";
import type { Model } from "../../../functions/billing/schema.ts";
import { startProxy, type TestProxy } from "../../support/proxy.ts";
import { waitFor } from "../../support/wait.ts";

let proxy: TestProxy;
let model: Model;
beforeEach(async () => {
  proxy = await startProxy();
  model = proxy.models.find(({ id }) => id === "simulated-chat")!;
  await waitFor("the proxy to be warm", async () => (await proxy.get("/v1/models")).ok);
});
afterEach(() => proxy.close());

const call = (more: object = {}) =>
  proxy.post("/v1/chat/completions", { model: "simulated-chat", messages: [{ role: "user", content: "Halo" }], max_tokens: 5, ...more });
const listed = async () => ((await (await proxy.get("/v1/models")).json()) as any).data.find(({ id }: Model) => id === "simulated-chat");

const announcedAtMs = Date.UTC(2026, 4, 11, 1, 2, 3);
const announced = (retiresAtMs: number) => (model.retirement = { announcedAtMs, retiresAtMs });

test("a model whose retirement is announced says so on each call and in the list, and works as before", async () => {
  expect((await call()).headers.has("deprecation")).toBe(false);
  expect((await listed()).retirement).toBeNull();
  announced(Date.UTC(2100, 0, 2, 3, 4, 5));
  await waitFor("the announcement", async () => (await listed()).retirement !== null);
  for (const response of [await call(), await call({ stream: true })]) {
    expect(response.status).toBe(200);
    expect(response.headers.get("deprecation")).toBe("@1778461323");
    expect(response.headers.get("sunset")).toBe("Sat, 02 Jan 2100 03:04:05 GMT");
    await response.text();
  }
  expect((await listed()).retirement).toEqual({ announced_at: "2026-05-11T01:02:03.000Z", retires_at: "2100-01-02T03:04:05.000Z" });
  const other = await proxy.post("/v1/embeddings", { model: "simulated-embedding", input: "a" });
  expect(other.headers.has("sunset")).toBe(false);
});

test("after its date it is refused with a clear error, not listed, and costs nothing", async () => {
  announced(Date.now() + 1_500);
  await waitFor("its date", async () => (await listed()) === undefined);
  const { events } = proxy.state;
  const before = events.length;
  for (const response of [await call(), await proxy.get("/v1/models/simulated-chat")]) {
    expect(response.status).toBe(404);
    const { error } = (await response.json()) as any;
    expect(error).toMatchObject({ code: "model_retired", param: "model", type: "invalid_request_error" });
    expect(error.message).toContain(`it was retired on ${new Date().toISOString().slice(0, 10)}`);
  }
  expect(events.length).toBe(before);
});

test("prices of the future are listed, the next one first, and count from their time on", async () => {
  const [now] = model.prices;
  const later = { ...now!, version: 8, effectiveAtMs: Date.now() + 3_600_000, inputMicro: 9 };
  const soon = { ...now!, version: 9, effectiveAtMs: Date.now() + 1_500, inputMicro: 7 };
  model.prices = [later, soon, now!];
  await waitFor("the prices", async () => (await listed()).future_pricing.length === 2);
  expect((await listed()).future_pricing).toMatchObject([
    { effective_at: new Date(soon.effectiveAtMs).toISOString(), version: 9, input_per_million_tokens: 7 },
    { version: 8 },
  ]);
  await waitFor("its time", async () => (await listed()).pricing.version === 9);
  expect((await listed()).future_pricing).toHaveLength(1);
  await (await call()).text();
  expect(proxy.state.events.at(-1)!.priceVersion).toBe(9);
});
