import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { generateKey } from "#shared/keys.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { type BillingPages, createTestPages } from "../support/billing-pages.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { invoiceSettings } from "../support/invoices.ts";

let db: TestDatabase;
let pages: BillingPages;

beforeAll(async () => {
  db = await createTestDatabase();
  pages = createTestPages(db);
});
afterAll(async () => {
  await pages.close();
  await db.close();
});

const balance = (key?: string) => pages.ask("/v1/billing/balance", { key });

describe("GET /v1/billing/balance", () => {
  test("answers the caller's own balance in rupiah", async () => {
    const { key } = await pages.person(12_345_678);
    await pages.person(99);
    expect((await balance(key)).body).toEqual({ object: "balance", currency: "IDR", amount: "12.345678", available: "12.345678" });
  });

  test("refuses a key that is missing, malformed, unknown, or lacks the scope", async () => {
    const { key } = await pages.person(1, "chat");
    const codes = await Promise.all([undefined, "ep_short", generateKey(), key].map(async (each) => (await balance(each)).body.error.code));
    expect(codes).toEqual(["missing_api_key", "invalid_api_key", "invalid_api_key", "insufficient_permissions"]);
  });

  test("answers a suspended account too, not a closed one", async () => {
    const { accountId, key } = await pages.person(1_000_000);
    await db.sql`update accounts set status = 'suspended' where id = ${accountId}`;
    expect((await balance(key)).status).toBe(200);
    await db.sql`update accounts set status = 'closed', closed_at = now() where id = ${accountId}`;
    expect((await balance(key)).status).toBe(401);
  });
});

describe("/v1/billing/alert", () => {
  const alert = (thresholdRupiah: number | null) => ({ object: "balance_alert", currency: "IDR", threshold_rupiah: thresholdRupiah });
  const put = (key: string, body: unknown) => pages.ask("/v1/billing/alert", { key, method: "PUT", body });

  test("GET and PUT answer and set the caller's own threshold; null takes it back", async () => {
    const [{ key }, other] = await Promise.all([pages.person(1), pages.person(1)]);
    const get = async (by: string) => (await pages.ask("/v1/billing/alert", { key: by })).body;
    expect(await get(key)).toEqual(alert(null));
    expect(await put(key, { threshold_rupiah: 50_000 })).toEqual({ status: 200, body: alert(50_000) });
    expect([await get(key), await get(other.key)]).toEqual([alert(50_000), alert(null)]);
    await put(key, { threshold_rupiah: 1_000_000_000 });
    expect(await get(key)).toEqual(alert(1_000_000_000));
    expect((await put(key, { threshold_rupiah: null })).body).toEqual(alert(null));
    expect(await get(key)).toEqual(alert(null));
  });

  test.each([
    [{ threshold_rupiah: 0 }, "threshold_rupiah"],
    [{ threshold_rupiah: 1_000_000_001 }, "threshold_rupiah"],
    [{ threshold_rupiah: 0.5 }, "threshold_rupiah"],
    [{ threshold_rupiah: "50000" }, "threshold_rupiah"],
    [{}, "threshold_rupiah"],
    [{ threshold_rupiah: 1, marker: true }, null],
    ["{", null],
    ["[]", ""],
  ])("PUT refuses %j, and names the field (content.none)", async (body, param) => {
    const { key } = await pages.person(1);
    const { status, body: answer } = await put(key, body);
    expect([status, answer.error.param]).toEqual([400, param]);
    expect(answer.error.message).not.toContain("marker");
  });

  test("PUT refuses a key without the scope, before it looks at the body", async () => {
    const { key } = await pages.person(1, "usage");
    expect((await put(key, "{")).body.error.code).toBe("insufficient_permissions");
  });
});

describe("GET /v1/prices", () => {
  const pagesOn = (run: DatabasePool["run"]) => {
    const database: DatabasePool = { ...pages.database, run };
    return createBillingPages({ accountOf: async () => "", database, statementDatabase: database, clock: systemClock, invoices: invoiceSettings });
  };
  const prices = async (handler = pagesOn(pages.database.run), init: RequestInit = {}) => handler(new Request("http://billing/v1/prices", init));
  const listed = async (name: string) => ((await (await prices()).json()) as any).data.find(({ id }: { id: string }) => id === name);

  test("answers everybody the models with prices in force, those to come, and when one retires", async () => {
    await db.sql`select create_model('listed-image', 'image', 1000, 0, 0, 0)`;
    await db.sql`
      with price as materialized (select create_price('listed-image', now() - interval '1 minute', 5000, 1250, 0, 250000000) as version)
      select create_price_line(version, '512x512', 'hd', 100000000) from price
    `;
    await db.sql`select create_price('listed-image', '2100-01-02T03:04:05Z', 7000, 1250, 0, 300000000)`;
    await db.sql`update models set retirement_announced_at = '2026-05-11T00:00:00Z', retires_at = '2101-01-01T00:00:00Z' where name = 'listed-image'`;
    const rates = { currency: "IDR", unit: "rupiah", cached_input_per_million_tokens: 1250, output_per_million_tokens: 0 };
    expect(await listed("listed-image")).toEqual({
      id: "listed-image",
      object: "model",
      created: expect.any(Number),
      owned_by: "epithre",
      kind: "image",
      context_length: 1000,
      max_output_tokens: 0,
      pricing: {
        ...rates,
        version: expect.any(Number),
        input_per_million_tokens: 5000,
        per_image: 250,
        images: [{ version: expect.any(Number), size: "512x512", quality: "hd", per_image: 100 }],
      },
      future_pricing: [
        { ...rates, effective_at: "2100-01-02T03:04:05.000Z", version: expect.any(Number), input_per_million_tokens: 7000, per_image: 300, images: [] },
      ],
      retirement: { announced_at: "2026-05-11T00:00:00.000Z", retires_at: "2101-01-01T00:00:00.000Z" },
    });
  });

  test("lists a model whose first price is still to come, none that is switched off, retired, or has no price", async () => {
    for (const name of ["listed-soon", "listed-off", "listed-ended"]) await db.sql`select create_model(${name}, 'chat', 10, 10, 0, 0)`;
    await db.sql`select create_model('listed-unpriced', 'chat', 10, 10, 0, 0)`;
    await db.sql`select create_price('listed-soon', now() + interval '1 day', 1, 1, 1, 0)`;
    for (const name of ["listed-off", "listed-ended"]) await db.sql`select create_price(${name}, now(), 1, 1, 1, 0)`;
    await db.sql`update models set enabled = false where name = 'listed-off'`;
    await db.sql`update models set retirement_announced_at = now() - interval '1 hour', retires_at = now() where name = 'listed-ended'`;
    expect(await listed("listed-soon")).toMatchObject({ pricing: null, future_pricing: [{ input_per_million_tokens: 1 }] });
    for (const name of ["listed-off", "listed-ended", "listed-unpriced"]) expect(await listed(name)).toBeUndefined();
  });

  test("may be kept by any cache for a minute and read from any origin, and many who ask cost one reading", async () => {
    let readings = 0;
    const handler = pagesOn((query) => ((readings += 1), pages.database.run(query)));
    const answers = await Promise.all(Array.from({ length: 50 }, () => prices(handler)));
    expect(readings).toBe(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(answers[0]!.headers.get("cache-control")).toBe("public, max-age=60");
    expect(answers[0]!.headers.get("access-control-allow-origin")).toBe("*");
    expect((await prices(handler, { method: "POST" })).status).toBe(405);
  });

  test("is read again after a database that was away", async () => {
    let away = true;
    const handler = pagesOn((query) => (away ? Promise.reject(new Error("away")) : pages.database.run(query)));
    expect((await prices(handler)).status).toBe(500);
    away = false;
    expect((await prices(handler)).status).toBe(200);
  });
});
