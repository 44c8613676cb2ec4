/** Mail with documents: from billing over HTTP, to a relay over SMTP. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { connect, type Sql } from "#shared/db.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createMailer, type Mailer } from "#shared/mail.ts";
import { createHandler as createBilling } from "../../functions/billing/handler.ts";
import { createAttachments } from "../../functions/notify/attachments.ts";
import { createHandler } from "../../functions/notify/handler.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Call, invoiceSettings, newPayer, type Payer, publicBilling, readPdf } from "../support/invoices.ts";
import { type Relay, startRelay, type Taken } from "../support/relay.ts";

const edgeSecret = "secret of the edge of notify and billing";
let db: TestDatabase;
let roles: { billing: Sql; keyAuth: Sql };
let call: Call;
let billing: Awaited<ReturnType<typeof serveBilling>>;
let relay: Relay;
let mailer: Mailer;
let lines: string[];

beforeAll(async () => {
  db = await createTestDatabase();
  roles = { billing: connect({ url: db.urlFor("billing"), connections: 2 }), keyAuth: connect({ url: db.urlFor("key-auth"), connections: 1 }) };
  call = publicBilling(roles);
});
afterAll(async () => {
  await Promise.all([roles.billing.end(), roles.keyAuth.end()]);
  await db.close();
});
beforeEach(async () => {
  [relay, billing] = [await startRelay(), await serveBilling()];
  mailer = createMailer({ smtpUrl: `smtp://127.0.0.1:${relay.port}`, from: "hello@example.com" });
  lines = [];
});
afterEach(async () => {
  mailer.close();
  await Promise.all([relay.close(), billing.close()]);
});

async function serveBilling() {
  const database = { run: (work: (sql: Sql) => Promise<any>) => work(roles.billing), close: async () => {} };
  const handler = createBilling({ edgeSecrets: { notify: edgeSecret }, database, statementDatabase: database, clock: systemClock, leaseTtlMs: 1_000, invoices: invoiceSettings });
  const server = createServer(handler.node).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function notify(): Promise<unknown> {
  const client = createInternalClient({ from: "notify", to: "billing", url: billing.url, edgeSecret });
  const handler = createHandler({
    open: () => connect({ url: db.urlFor("notify"), connections: 1 }),
    mailer,
    attachmentsOf: createAttachments(client),
    linkOf: async () => "",
    log: createLog("notify", (line) => lines.push(line)),
  });
  const response = await handler(new Request("http://notify/", { method: "POST" }));
  await client.close();
  return response.json();
}

/** The parts of a mail: the words, then what is attached. */
function partsOf({ head, body }: Taken): { head: string; content: Buffer }[] {
  const boundary = /boundary="(.+?)"/.exec(head)![1]!;
  return body.split(`--${boundary}`).slice(1, -1).map((part) => {
    const end = part.indexOf("\r\n\r\n");
    const isBase64 = /^content-transfer-encoding: base64/im.test(part.slice(0, end));
    return { head: part.slice(0, end), content: Buffer.from(part.slice(end + 4), isBase64 ? "base64" : "utf8") };
  });
}

const invoiceOf = async (payer: Payer) =>
  (await call(payer, "POST", "/topups", { body: { amount_rupiah: 100_000 }, key: randomUUID() })).body as { id: string; number: string };
const confirm = (id: string) => db.sql`select admin_confirm_invoice(${id}, 111000000000, null)`;
const waiting = ({ accountId }: Payer) => db.sql`select template, attempts from outbox where account_id = ${accountId}`;

test("notify() brings the invoice as a PDF, and once it is paid the receipt, each once (pay.alpha)", async () => {
  const payer = await newPayer(db.sql);
  const { id, number } = await invoiceOf(payer);
  expect(await notify()).toEqual({ sent: 1, failed: 0 });
  await confirm(id);
  expect(await notify()).toEqual({ sent: 1, failed: 0 });
  expect(await notify()).toEqual({ sent: 0, failed: 0 });
  expect([...(await waiting(payer))]).toEqual([]);
  const [invoice, receipt] = relay.taken;
  for (const mail of [invoice!, receipt!]) expect(mail.to).toEqual([payer.email]);
  expect(invoice!.head).toMatch(/^Subject: .*Your Epithre invoice/m);
  expect(receipt!.head).toMatch(/^Subject: .*Your Epithre receipt/m);
  for (const [mail, filename, says] of [
    [invoice!, `${number}.pdf`, ["Belum dibayar", "Rp111.000", "1234567890", payer.email]],
    [receipt!, `${number}-receipt.pdf`, ["Lunas", "Rp111.000", payer.email]],
  ] as const) {
    const [words, pdf, ...more] = partsOf(mail);
    expect(more).toEqual([]);
    expect(words!.head).toContain("text/plain; charset=utf-8");
    expect(words!.content.toString()).not.toMatch(/Siti|@|Rp|http/);
    expect(pdf!.head).toContain("Content-Type: application/pdf");
    expect(pdf!.head).toMatch(new RegExp(`^Content-Disposition: attachment; filename="?${filename}"?$`, "m"));
    const text = await readPdf(pdf!.content);
    for (const part of [number, ...says]) expect(text).toContain(part);
  }
});

test("notify() sends no invoice that is cancelled or paid before its mail goes out", async () => {
  const [quick, unwilling] = [await newPayer(db.sql), await newPayer(db.sql)];
  await confirm((await invoiceOf(quick)).id);
  await call(unwilling, "POST", `/invoices/${(await invoiceOf(unwilling)).id}/cancel`);
  expect(await notify()).toEqual({ sent: 1, failed: 0 });
  expect(relay.taken.map(({ to, head }) => [to, /Your Epithre (\w+)/.exec(head)![1]])).toEqual([[[quick.email], "receipt"]]);
});

test("notify() sends no mail without its document: it keeps it until billing answers, and logs nothing of it (content.none)", async () => {
  const payer = await newPayer(db.sql);
  const { id, number } = await invoiceOf(payer);
  await billing.close();
  expect(await notify()).toEqual({ sent: 0, failed: 1 });
  expect(relay.taken).toEqual([]);
  expect([...(await waiting(payer))]).toEqual([{ template: "invoice", attempts: 1 }]);
  billing = await serveBilling();
  await db.sql`update outbox set next_attempt_at = now()`;
  expect(await notify()).toEqual({ sent: 1, failed: 0 });
  expect(lines.map((line) => JSON.parse(line).at)).toEqual(["mail_failed", "mail_sent"]);
  for (const secret of [id, number, payer.email, payer.accountId, billing.url]) expect(lines.join()).not.toContain(secret);
});
