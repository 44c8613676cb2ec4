/** Monthly statements as a caller meets them: the routes, and what stands in the files. */
import { parse } from "csv-parse/sync";
import { extractText, getDocumentProxy } from "unpdf";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { boundsOf, dayMs } from "../../functions/billing/month.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { findStatementMonths } from "../../functions/billing/queries.ts";
import { readStatement } from "../../functions/billing/statement.ts";
import { statementPdf } from "../../functions/billing/statement-pdf.ts";
import { addKey, addModel, postEvent } from "../support/accounts.ts";
import { createTestPages } from "../support/billing-pages.ts";
import { createTestDatabase } from "../support/database.ts";
import { addHistory, makeOld, openOldAccount, type PastEvent, type PastUsage } from "../support/history.ts";
import { invoiceSettings, readPdf } from "../support/invoices.ts";

const db = await createTestDatabase();
const pages = createTestPages(db);
await makeOld(db.sql, 6);
const nowMs = Date.now();
const { months } = await pages.database.run(async (sql) => findStatementMonths(sql, await openOldAccount(db.sql, nowMs - 180 * dayMs)));
const month = months[0]!;
const { startMs, endMs } = boundsOf(month);

afterAll(async () => {
  await pages.close();
  await db.close();
});

async function oldPerson(events: PastEvent[], usage: PastUsage[]): Promise<{ accountId: string; key: string }> {
  const accountId = await openOldAccount(db.sql, startMs - 40 * dayMs);
  await addHistory(db.sql, accountId, events, usage);
  const { key, keyId } = await addKey(db.sql, accountId);
  await db.sql`update api_keys set scopes = array['billing'] where id = ${keyId}`;
  return { accountId, key };
}

const usageOf = (model: string, given: Partial<PastUsage> = {}): PastUsage => ({
  atMs: startMs, model, costMicro: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, images: 0, ...given,
});

await addModel(db.sql, "a-chat");
await addModel(db.sql, "b/chat");
const events: PastEvent[] = [
  { atMs: startMs - 1, kind: "top_up", amountMicro: 90_000_000_000 },
  { atMs: startMs, kind: "refund", amountMicro: -10_000_000_000 },
  { atMs: endMs - 1, kind: "adjustment", amountMicro: 1_500_000 },
  { atMs: endMs, kind: "top_up", amountMicro: 7_000_000 },
];
const usage: PastUsage[] = [
  usageOf("a-chat", { atMs: startMs - 1, costMicro: 1_000_000 }),
  usageOf("a-chat", { costMicro: 1_234_567_891, promptTokens: 2_000_000_000, cachedTokens: 1_999, completionTokens: 12_345, reasoningTokens: 678 }),
  usageOf("a-chat", { atMs: endMs - 1, costMicro: 9, promptTokens: 1_500_000_000 }),
  usageOf("b/chat", { atMs: startMs + dayMs, costMicro: 40_000, images: 3 }),
  usageOf("b/chat", { atMs: endMs, costMicro: 4_000_000 }),
];
const person = await oldPerson(events, usage);
const at = (path: string, key = person.key) => pages.fetch(`/v1/billing/statements${path}`, { key });
const bytesAt = async (path: string) => Buffer.from(await (await at(path)).arrayBuffer());
const wib = (atMs: number) => `${new Date(atMs + 7 * 3_600_000).toISOString().slice(0, 19)}+07:00`;

describe("GET /v1/billing/statements", () => {
  test("lists the months that can be had, the last one first, and gives each of them", async () => {
    const list = (await (await at("")).json()) as any;
    expect(list).toEqual({ object: "list", data: months.filter((each) => boundsOf(each).endMs > startMs - 40 * dayMs).map((each) => ({ object: "statement", month: each })) });
    expect(list.data.length).toBeGreaterThanOrEqual(2);
    for (const { month: each } of list.data) expect((await at(`/${each}`)).status).toBe(200);
  });

  test("{month} answers amounts and counts as JSON (keep.billing, use.usage)", async () => {
    expect(await (await at(`/${month}`)).json()).toEqual({
      object: "statement",
      month,
      currency: "IDR",
      opening_balance: "89999.000000",
      events: [
        { time: wib(startMs), kind: "refund", reason: "bank_transfer", amount: "-10000.000000" },
        { time: wib(endMs - 1), kind: "adjustment", reason: "bank_transfer", amount: "1.500000" },
      ],
      usage: [
        {
          model: "a-chat", requests: 2, input_tokens: 3_500_000_000, cached_input_tokens: 1_999, output_tokens: 12_345,
          reasoning_tokens: 678, images: 0, cost: "1234.567900",
        },
        { model: "b/chat", requests: 1, input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_tokens: 0, images: 3, cost: "0.040000" },
      ],
      closing_balance: "78765.892100",
    });
  });

  test("{month}.csv is that table, for a spreadsheet", async () => {
    const response = await at(`/${month}.csv`);
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8; header=present");
    expect(response.headers.get("content-disposition")).toBe(`attachment; filename="epithre-statement-${month}.csv"`);
    const records: string[][] = parse(await response.text(), { recordDelimiter: "\r\n" });
    expect(records).toEqual([
      ["line", "time", "description", "requests", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "images", "amount_rupiah"],
      ["opening_balance", wib(startMs), "", "", "", "", "", "", "", "89999.000000"],
      ["refund", wib(startMs), "bank_transfer", "", "", "", "", "", "", "-10000.000000"],
      ["adjustment", wib(endMs - 1), "bank_transfer", "", "", "", "", "", "", "1.500000"],
      ["usage", "", "a-chat", "2", "3500000000", "1999", "12345", "678", "0", "-1234.567900"],
      ["usage", "", "b/chat", "1", "0", "0", "0", "0", "3", "-0.040000"],
      ["closing_balance", wib(endMs), "", "", "", "", "", "", "", "78765.892100"],
    ]);
  });

  test("{month}.pdf says the same in words, on the seller's letterhead", async () => {
    const response = await at(`/${month}.pdf`);
    expect(response.headers.get("content-type")).toBe("application/pdf");
    expect(response.headers.get("content-disposition")).toBe(`attachment; filename="epithre-statement-${month}.pdf"`);
    const text = await readPdf(new Uint8Array(await response.arrayBuffer()));
    const day = (atMs: number, language: string) =>
      new Intl.DateTimeFormat(language, { day: "numeric", month: "long", year: "numeric", timeZone: "Asia/Jakarta" }).format(atMs);
    for (const words of [
      "PT Penjual Contoh Jalan Uji 7, Jakarta NPWP 01.234.567.8-901.234 Laporan bulanan Monthly statement",
      `1 - ${day(endMs - 1, "id-ID")} 1 - ${day(endMs - 1, "en-GB")}`,
      "Saldo awal / Opening balance Rp89.999 ",
      "Saldo akhir / Closing balance Rp78.765,892100 ",
      `${day(startMs, "id-ID")} ${day(startMs, "en-GB")} Pengembalian dana (transfer bank) Refund (bank transfer) -Rp10.000 `,
      `${day(endMs - 1, "id-ID")} ${day(endMs - 1, "en-GB")} Penyesuaian (transfer bank) Adjustment (bank transfer) Rp1,500000 `,
      "a-chat 2 3.500.000.000 (1.999) 12.345 (678) 0 Rp1.234,567900 ",
      "b/chat 1 0 0 3 Rp0,040000 ",
      "Peristiwa Billing events -Rp9.998,500000 Pemakaian Usage -Rp1.234,607900 Saldo akhir Closing balance Rp78.765,892100 ",
      "Pemakaian, dibulatkan Usage, rounded Rp1.235 Saldo akhir, dibulatkan Closing balance, rounded Rp78.766 ",
      "Halaman 1 dari 1 / Page 1 of 1",
    ]) {
      expect(text).toContain(words);
    }
    expect(text.replaceAll(" ", "")).toContain(person.accountId);
  });

  test("gives the same bytes again, whatever has happened since", async () => {
    const forms = [`/${month}`, `/${month}.csv`, `/${month}.pdf`];
    const before = [];
    for (const form of forms) before.push(await bytesAt(form));
    await postEvent(db.sql, person.accountId, { amountMicro: 123_456_789 });
    await db.sql`update balances set consumed_micro = consumed_micro + 500 where account_id = ${person.accountId}`;
    await db.sql`
      insert into usage_events (id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
        reasoning_tokens, images, latency_ms, endpoint, model_id, status)
      select uuidv7(), ${person.accountId}, ${person.accountId}, 500, 1, 1, 0, 1, 0, 0, 1, 'chat.completions', id, 200 from models where name = 'a-chat'
    `;
    for (const [index, form] of forms.entries()) expect((await bytesAt(form)).equals(before[index]!)).toBe(true);
  });

  test("says of a month that cannot be had why, whatever the ending (404)", async () => {
    for (const ending of ["", ".csv", ".pdf"]) {
      const response = await at(`/2020-02${ending}`);
      expect(response.status).toBe(404);
      expect(((await response.json()) as any).error.message).toBe("Cannot make this statement: the account was opened later");
    }
  });

  test("is for the account's own key with the scope billing", async () => {
    const other = await oldPerson([{ atMs: startMs, kind: "top_up", amountMicro: 5 }], []);
    expect(await (await at(`/${month}`, other.key)).json()).toMatchObject({ events: [{ amount: "0.000005" }], usage: [], closing_balance: "0.000005" });
    await db.sql`update api_keys set scopes = array['usage'] where account_id = ${other.accountId}`;
    for (const path of ["", `/${month}`, `/${month}.csv`, `/${month}.pdf`]) {
      expect(((await (await at(path, other.key)).json()) as any).error.code).toBe("insufficient_permissions");
    }
  });

  test("makes one at a time for an account and two of all, so that leases never wait, and makes the next once one is done", async () => {
    const waiting: (() => void)[] = [];
    const statementDatabase: DatabasePool = {
      ...pages.database,
      run: async (query) => (await new Promise<void>((resolve) => waiting.push(resolve)), pages.database.run(query)),
    };
    const accountOf = async (authorization: string | null) => authorization!;
    const handler = createBillingPages({ accountOf, database: pages.database, statementDatabase, clock: systemClock, invoices: invoiceSettings });
    const ask = (accountId: string) => handler(new Request(`http://billing/v1/billing/statements/2020-02`, { headers: { authorization: accountId } }));
    const accounts = [person.accountId, await openOldAccount(db.sql, startMs), await openOldAccount(db.sql, startMs)];
    const [first, second] = [ask(accounts[0]!), ask(accounts[1]!)];
    const refused = [await ask(accounts[0]!), await ask(accounts[2]!)];
    expect(refused.map(({ status, headers }) => [status, headers.get("retry-after")])).toEqual([[429, "2"], [503, "2"]]);
    expect(waiting).toHaveLength(2);
    waiting[0]!();
    expect((await first).status).toBe(404);
    const third = ask(accounts[2]!);
    await expect.poll(() => waiting.length).toBe(3);
    for (const go of waiting) go();
    expect([(await second).status, (await third).status]).toEqual([404, 404]);
  });
});

describe("statementPdf()", () => {
  test("goes on over pages, with the head of the table on each, and its sums on one", async () => {
    const models = Array.from({ length: 60 }, (_, index) => `model-${String(index).padStart(2, "0")}`);
    for (const model of models) await addModel(db.sql, model);
    const { accountId } = await oldPerson(
      [{ atMs: startMs, kind: "top_up", amountMicro: 1_000_000_000 }],
      models.map((model, index) => usageOf(model, { atMs: startMs + index * 3_600_000, costMicro: 1_000_001 })),
    );
    const statement = await readStatement(pages.database, accountId, month);
    const text = await readPdf((await statementPdf(statement, invoiceSettings.seller)).bytes);
    for (const model of models) expect(text).toContain(`${model} 1 0 0 0 Rp1,000001 `);
    const pagesOf = Number(/Page 1 of (\d+)/.exec(text)![1]);
    expect(pagesOf).toBeGreaterThanOrEqual(3);
    expect(text.match(/Input tokens \(cached\)/g)).toHaveLength(pagesOf);
    expect(text).toContain("Pemakaian Usage -Rp60,000060 Saldo akhir Closing balance Rp939,999940 ");
  });

  test("keeps its sums together, wherever the table before them ends", async () => {
    const usage = { requests: 1n, promptTokens: 0n, cachedTokens: 0n, completionTokens: 0n, reasoningTokens: 0n, images: 0n, costMicro: 1n };
    for (let rows = 8; rows < 26; rows += 1) {
      const lines = Array.from({ length: rows }, (_, index) => ({ ...usage, model: `model-${index}` }));
      const statement = { accountId: person.accountId, month, openingMicro: BigInt(rows), events: [], usage: lines, closingMicro: 0n };
      const { bytes } = await statementPdf(statement, invoiceSettings.seller);
      const { text } = await extractText(await getDocumentProxy(new Uint8Array(bytes)), { mergePages: false });
      const withSums = text.filter((page) => /Pemakaian|Saldo akhir\s+Closing|dibulatkan/.test(page));
      expect(withSums, `${rows} rows`).toHaveLength(1);
    }
  });
});
