/** The documents of billing, read back as text. How they look is seen by looking: infra/decisions/0009-invoices.md. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { connect, type Sql } from "#shared/db.ts";
import { sign, signatureHeader } from "#shared/http.ts";
import { createHandler } from "../../functions/billing/handler.ts";
import { createSheet, printDay, printRupiah } from "../../functions/billing/pdf.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Call, invoiceSettings, newPayer, type Payer, publicBilling, readPdf } from "../support/invoices.ts";

let db: TestDatabase;
let roles: { billing: Sql; keyAuth: Sql };
let call: Call;

beforeAll(async () => {
  db = await createTestDatabase();
  roles = { billing: connect({ url: db.urlFor("billing"), connections: 4 }), keyAuth: connect({ url: db.urlFor("key-auth"), connections: 2 }) };
  call = publicBilling(roles);
});
afterAll(async () => {
  await Promise.all([roles.billing.end(), roles.keyAuth.end()]);
  await db.close();
});

const invoiceOf = async (payer: Payer, by = call) =>
  (await by(payer, "POST", "/topups", { body: { amount_rupiah: 1_234_567 }, key: randomUUID() })).body as { id: string; number: string; issued_at: string; due_at: string };
const pdfOf = (payer: Payer, id: string) => call(payer, "GET", `/invoices/${id}.pdf`);
const confirm = (id: string) => db.sql`select admin_confirm_invoice(${id}, 1370369000000, null)`;

function expectInOrder(text: string, parts: readonly string[]): void {
  let from = 0;
  for (const part of parts) {
    const at = text.indexOf(part, from);
    expect(at, `${part} in: ${text.slice(from)}`).toBeGreaterThanOrEqual(0);
    from = at + part.length;
  }
}

describe("GET /v1/billing/invoices/{id}.pdf", () => {
  test("is the invoice: number, dates, amounts, tax, and where to transfer, in both languages (pay.alpha)", async () => {
    const payer = await newPayer(db.sql);
    const { id, number, issued_at, due_at } = await invoiceOf(payer);
    const { status, headers, bytes } = await pdfOf(payer, id);
    expect([status, headers.get("content-type"), headers.get("cache-control")]).toEqual([200, "application/pdf", "no-store"]);
    expect(headers.get("content-disposition")).toBe(`attachment; filename="${number}.pdf"`);
    const text = await readPdf(bytes);
    const [issued, due] = [issued_at, due_at].map((time) => printDay(new Date(time)));
    expectInOrder(text, ["PT Penjual Contoh", "Jalan Uji 7, Jakarta", "NPWP 01.234.567.8-901.234", "Faktur", "Invoice"]);
    expectInOrder(text, ["Nomor / Number", number, "Tanggal / Date", issued!.id, "Jatuh tempo / Due", due!.id, "Status", "Belum dibayar", "Unpaid"]);
    expectInOrder(text, ["Ditagihkan kepada / Bill to", "Siti Contoh", payer.email, `ID akun / Account ID: ${payer.accountId}`]);
    expectInOrder(text, ["Kredit", "Credit", "Rp1.234.567", "PPN 11%", "VAT 11%", "Rp135.802", "Total", "Rp1.370.369"]);
    expectInOrder(text, ["Transfer bank", "Bank Uji", "1234567890", "PT Penjual Contoh", "Rp1.370.369", "Reference", number]);
    expect(text).toContain("Halaman 1 dari 1 / Page 1 of 1");
  });

  test("is the receipt once it is paid, without a word on how to pay", async () => {
    const payer = await newPayer(db.sql);
    const { id, number } = await invoiceOf(payer);
    await confirm(id);
    const { headers, bytes } = await pdfOf(payer, id);
    expect(headers.get("content-disposition")).toBe(`attachment; filename="${number}-receipt.pdf"`);
    const text = await readPdf(bytes);
    expectInOrder(text, ["Kuitansi", "Receipt", number, "Dibayar / Paid on", printDay(new Date()).id, "Lunas", "Paid", "Rp1.370.369", "Terima kasih"]);
    expect(text).not.toMatch(/1234567890|Jatuh tempo|Faktur/);
  });

  test("says of a cancelled one not to pay it, and not where to", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    await call(payer, "POST", `/invoices/${id}/cancel`);
    const text = await readPdf((await pdfOf(payer, id)).bytes);
    expectInOrder(text, ["Dibatalkan", "Cancelled", "Jangan dibayar", "Please do not pay it"]);
    expect(text).not.toContain("1234567890");
  });

  test("has no line of tax where there is none", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer, publicBilling(roles, { ppnBasisPoints: 0 }));
    const text = await readPdf((await pdfOf(payer, id)).bytes);
    expectInOrder(text, ["Kredit", "Rp1.234.567", "Total", "Rp1.234.567"]);
    expect(text).not.toMatch(/PPN|VAT/);
  });

  test("keeps the rate of its day when the setting has changed since", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer, publicBilling(roles, { ppnBasisPoints: 1_250 }));
    expectInOrder(await readPdf((await pdfOf(payer, id)).bytes), ["PPN 12,5%", "VAT 12.5%", "Rp154.321", "Rp1.388.888"]);
  });

  test("is made anew each time, with the same bytes; who is named is read then (use.account)", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    const first = await pdfOf(payer, id);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(Buffer.compare(first.bytes, (await pdfOf(payer, id)).bytes)).toBe(0);
    await db.sql`update persons set name = 'Siti Baru' where account_id = ${payer.accountId}`;
    expect(await readPdf((await pdfOf(payer, id)).bytes)).toContain("Siti Baru");
  });

  test("draws any name: letters that the fonts lack lose their accents, or the line is left out", async () => {
    const text = async (name: string | null) => {
      const payer = await newPayer(db.sql, name);
      return readPdf((await pdfOf(payer, (await invoiceOf(payer)).id)).bytes);
    };
    expect(await text("Łukasz Đặng Ünal-Žižek")).toContain("Lukasz Dang Ünal-Žižek");
    expect(await text("Siti 王")).toContain("Siti ?");
    for (const nobody of [null, "王伟", "😀"]) expect(await text(nobody)).toMatch(/Bill to [\w-]+@example\.com ID akun/);
    expect(await text("W".repeat(128))).toContain("W".repeat(30));
  });
});

describe("/documents", () => {
  const secrets = { proxy: "secret-of-the-proxy's-edge", notify: "secret-of-the-edge-of-notify" };

  async function ask(from: "proxy" | "notify", path: string, given: unknown) {
    const database = { run: (work: (sql: Sql) => Promise<any>) => work(roles.billing), close: async () => {} };
    const handler = createHandler({ edgeSecrets: secrets, database, statementDatabase: database, clock: systemClock, leaseTtlMs: 1_000, invoices: invoiceSettings });
    const body = JSON.stringify(given);
    const signature = sign(secrets[from], { from, to: "billing", path, body });
    const response = await handler(new Request(`http://billing${path}`, { method: "POST", headers: { [signatureHeader]: signature }, body }));
    return { status: response.status, body: (await response.json()) as any };
  }
  const documents = (from: "proxy" | "notify", given: unknown) => ask(from, "/documents", given);

  test("are for notify alone, for they name a person (use.account)", async () => {
    const payer = await newPayer(db.sql);
    const { id, number } = await invoiceOf(payer);
    const { status, body } = await documents("notify", { kind: "invoice", objectId: id });
    expect(status).toBe(200);
    expect(body).toMatchObject([{ filename: `${number}.pdf`, contentType: "application/pdf" }]);
    expect(await readPdf(Buffer.from(body[0].base64, "base64"))).toContain(payer.email);
    const refused = await documents("proxy", { kind: "invoice", objectId: id });
    expect([refused.status, refused.body.error.code]).toEqual([401, "invalid_signature"]);
  });

  test("are all that notify may ask for: money and prices are the proxy's", async () => {
    const { accountId } = await newPayer(db.sql);
    const asked = {
      "/leases/grant": { replicaId: randomUUID(), requests: [{ accountId, leaseId: null, needsMicro: [1], wantMicro: 0 }] },
      "/leases/sync": { replicaId: randomUUID(), leases: [] },
      "/balance": { accountId },
      "/price-book": {},
    };
    for (const [path, given] of Object.entries(asked)) {
      expect([path, (await ask("notify", path, given)).status]).toEqual([path, 401]);
      expect([path, (await ask("proxy", path, given)).status]).toEqual([path, 200]);
    }
  });

  test("of an invoice that is gone are a 404, and of a kind that is not known a 400", async () => {
    expect((await documents("notify", { kind: "invoice", objectId: randomUUID() })).status).toBe(404);
    expect((await documents("notify", { kind: "letter", objectId: randomUUID() })).status).toBe(400);
  });

  test("name nobody but the account's id once it is erased (right.delete)", async () => {
    const payer = await newPayer(db.sql);
    const { id } = await invoiceOf(payer);
    await confirm(id);
    await db.sql`delete from persons where account_id = ${payer.accountId}`;
    const text = await readPdf(Buffer.from((await documents("notify", { kind: "invoice", objectId: id })).body[0].base64, "base64"));
    expect(text).toContain(`Bill to ID akun / Account ID: ${payer.accountId}`);
    expect(text).not.toMatch(/@|Siti/);
  });
});

describe("a sheet", () => {
  test("goes on over pages, with the head of the table and the page's number on each", async () => {
    const sheet = await createSheet({ title: { id: "Daftar", en: "List" }, reference: "X-1", issuer: ["PT"], madeAt: new Date(0) });
    const columns = [
      { title: { id: "Baris", en: "Row" }, share: 0.5, align: "left" as const },
      { title: { id: "Jumlah", en: "Amount" }, share: 0.5, align: "right" as const },
    ];
    sheet.table(columns, Array.from({ length: 100 }, (_, index) => [`row-${index}.`, printRupiah(BigInt(index) * 1_000_000n)]));
    const text = await readPdf(await sheet.bytes());
    const pages = Number(/Page 1 of (\d+)/.exec(text)![1]);
    expect(pages).toBeGreaterThan(1);
    expect(text.match(/Baris/g)).toHaveLength(pages);
    for (let page = 1; page <= pages; page += 1) expect(text).toContain(`Halaman ${page} dari ${pages}`);
    for (let index = 0; index < 100; index += 1) expect(text).toContain(`row-${index}. Rp${index}`);
  });
});

describe("printRupiah()", () => {
  test.each([
    [0n, 0, "Rp0"],
    [999_999_999n, 0, "Rp1.000"],
    [499_999n, 0, "Rp0"],
    [-500_000n, 0, "-Rp1"],
    [-1n, 0, "Rp0"],
    [1_234_567_891_000n, 2, "Rp1.234.567,89"],
    [5_000n, 2, "Rp0,01"],
    [-1_234_500_000n, 2, "-Rp1.234,50"],
  ])("of %s with %s decimals is %s", (micro, decimals, printed) => {
    expect(printRupiah(micro, decimals)).toBe(printed);
  });
});

describe("printDay()", () => {
  test("is the day in Jakarta, in each language", () => {
    expect(printDay(new Date("2026-12-31T16:59:59Z"))).toEqual({ id: "31 Desember 2026", en: "31 December 2026" });
    expect(printDay(new Date("2026-12-31T17:00:00Z"))).toEqual({ id: "1 Januari 2027", en: "1 January 2027" });
  });
});
