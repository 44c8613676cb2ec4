/** The mail that brings a month's statement: to whom, once, and with what. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { connect, type Sql } from "#shared/db.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sign, signatureHeader } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createMailer } from "#shared/mail.ts";
import { createHandler as createBilling } from "../../functions/billing/handler.ts";
import { boundsOf, dayMs } from "../../functions/billing/month.ts";
import { findStatementMonths } from "../../functions/billing/queries.ts";
import { readStatement } from "../../functions/billing/statement.ts";
import { statementCsv } from "../../functions/billing/statement-csv.ts";
import { statementPdf } from "../../functions/billing/statement-pdf.ts";
import { createAttachments } from "../../functions/notify/attachments.ts";
import { createHandler as createNotify } from "../../functions/notify/handler.ts";
import { queueStatementMail } from "../../functions/notify/queries.ts";
import { addModel } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { addHistory, makeOld, openOldAccount, type PastUsage } from "../support/history.ts";
import { invoiceSettings } from "../support/invoices.ts";
import { startRelay, type Taken } from "../support/relay.ts";

const db = await createTestDatabase();
await makeOld(db.sql, 6);
await addModel(db.sql, "a-chat");
const billing = createDatabasePool({ url: db.urlFor("billing"), log: () => {} });
const open = (): Sql => connect({ url: db.urlFor("notify"), connections: 2 });
const notify = open();
const probe = await openOldAccount(db.sql, Date.now() - 180 * dayMs);
const { months } = await billing.run((sql) => findStatementMonths(sql, probe));
const month = months[0]!;
const { startMs, endMs } = boundsOf(month);

afterAll(async () => {
  await Promise.all([billing.close(), notify.end()]);
  await db.close();
});
beforeEach(async () => {
  await db.sql`delete from outbox`;
  await db.sql`delete from statement_runs`;
});

const usedAt = (atMs: number): PastUsage => ({
  atMs, model: "a-chat", costMicro: 3, promptTokens: 1, cachedTokens: 0, completionTokens: 1, reasoningTokens: 0, images: 0,
});
const creditAt = (atMs: number) => ({ atMs, kind: "top_up" as const, amountMicro: 1_000_000 });

/** An account with a person to mail to. */
async function person(openedMs: number, creditedMs: number[], usedMs: number[]): Promise<string> {
  const accountId = await openOldAccount(db.sql, openedMs);
  await db.sql`insert into persons (account_id, email) values (${accountId}, ${`${randomUUID()}@example.org`})`;
  await addHistory(db.sql, accountId, creditedMs.map(creditAt), usedMs.map(usedAt));
  return accountId;
}

async function queueAll(accountsMax = 1_000): Promise<void> {
  while (await queueStatementMail(notify, accountsMax, 100_000));
}

/** `<account> <month>` of each mail that waits. */
async function queued(accounts?: string[]): Promise<string[]> {
  const rows = await db.sql<{ account: string; month: string }[]>`
    select account_id as account, to_char(month, 'YYYY-MM') as month from outbox where template = 'statement' order by month, account_id
  `;
  return rows.filter(({ account }) => !accounts || accounts.includes(account)).map(({ account, month: of }) => `${account} ${of}`);
}

describe("queue_statement_mail()", () => {
  test("mails each account that had usage or a billing event in the month, and no other (use.account)", async () => {
    const before = startMs - 20 * dayMs;
    const used = await person(before, [before], [startMs]);
    const usedLast = await person(before, [before], [endMs - 1]);
    const credited = await person(before, [startMs], []);
    const creditedLast = await person(startMs, [endMs - 1], []);
    const others = [
      await person(before, [before, startMs - 1, endMs], [startMs - 1, endMs]),
      await person(before, [], []),
      await person(endMs, [endMs], [endMs]),
    ];
    const closed = await person(before, [startMs], [startMs]);
    await db.sql`update accounts set status = 'closed', closed_at = now() where id = ${closed}`;
    await queueAll();
    const expected = [used, usedLast, credited, creditedLast].map((account) => `${account} ${month}`).sort();
    expect(await queued([used, usedLast, credited, creditedLast, ...others, closed])).toEqual(expected);
  });

  test("queues once, however often it is called, in whatever steps, also when steps are undone half way or meet", async () => {
    await fc.assert(
      fc.asyncProperty(
        // Accounts of the same millisecond too, more of them than a step looks at.
        fc.array(fc.record({ openedMs: fc.integer({ min: 0, max: 3 }), active: fc.boolean() }), { minLength: 1, maxLength: 9 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom("step", "undone", "two at once")),
        async (accounts, accountsMax, steps) => {
          await db.sql`delete from outbox`;
          await db.sql`delete from statement_runs`;
          const active: string[] = [];
          for (const { openedMs, active: isActive } of accounts) {
            const accountId = await person(startMs + openedMs, isActive ? [startMs + dayMs] : [], []);
            if (isActive) active.push(accountId);
          }
          const step = (sql: Sql) => queueStatementMail(sql, accountsMax);
          for (const how of steps) {
            if (how === "step") await step(notify);
            else if (how === "two at once") await Promise.all([step(notify), step(notify)]);
            else await notify.begin(async (sql) => (await step(sql as never), Promise.reject(new Error("undone")))).catch(() => {});
          }
          await queueAll(accountsMax);
          expect(await queued(active)).toEqual(active.sort().map((account) => `${account} ${month}`));
          await queueAll(accountsMax);
          expect(await queued(active)).toHaveLength(active.length);
        },
      ),
      { numRuns: 15 },
    );
  }, 120_000);

  test("looks at no more accounts in a call than it is asked to", async () => {
    const opened = startMs + 12 * 3_600_000;
    const accounts = [];
    for (let index = 0; index < 6; index += 1) accounts.push(await person(opened + index, [opened + dayMs], []));
    await db.sql`insert into statement_runs (month, accounts_until) values (${`${month}-01`}, ${new Date(opened)})`;
    const seen = [];
    for (let call = 0; call < 3; call += 1) {
      await queueStatementMail(notify, 2);
      seen.push((await queued(accounts)).length);
    }
    expect(seen).toEqual([2, 4, 6]);
  });

  test("queues no more while enough wait to be sent, so that other mail is not held up, and goes on after that", async () => {
    const opened = startMs + 13 * 3_600_000;
    const accounts = [];
    for (let index = 0; index < 5; index += 1) accounts.push(await person(opened + index, [opened + dayMs], []));
    await db.sql`insert into statement_runs (month, accounts_until) values (${`${month}-01`}, ${new Date(opened)})`;
    const step = () => queueStatementMail(notify, 1, 2);
    expect([await step(), await step(), await step(), await step()]).toEqual([true, true, false, false]);
    expect(await queued(accounts)).toHaveLength(2);
    // One was taken, and is to be tried again later: it is in nobody's way.
    await db.sql`update outbox set next_attempt_at = now() + interval '1 hour' where account_id = ${accounts[0]!}`;
    await db.sql`delete from outbox where account_id = ${accounts[1]!}`;
    expect([await step(), await step(), await step()]).toEqual([true, true, false]);
    expect(await queued(accounts)).toEqual([accounts[0], accounts[2], accounts[3]].map((account) => `${account} ${month}`));
  });

  test("catches up month by month after a pause, and passes over one whose usage is not whole any more (keep.usage)", async () => {
    const [row] = await db.sql<{ past: string[]; done: string; oldest: Date }[]>`
      with last as (select ${`${month}-01`}::date as day)
      select
        array(select to_char(day - make_interval(months => ago), 'YYYY-MM') from last, generate_series(5, 0, -1) as ago) as past,
        to_char(day - interval '6 months', 'YYYY-MM-DD') as done, usage_slice_start(now() - interval '6 months') as oldest
      from last
    `;
    const past = row!.past;
    // One slice earlier is asked for too, as it may be about to go.
    const whole = past.filter((each) => boundsOf(each).startMs - 4 * 3_600_000 >= row!.oldest.getTime());
    expect([past.length > whole.length, whole.length > 3]).toEqual([true, true]);
    const opened = boundsOf(past[0]!).startMs - dayMs;
    const accountId = await person(opened, past.map((each) => boundsOf(each).startMs + 3 * dayMs), []);
    await db.sql`insert into statement_runs (month, accounts_until) values (${row!.done}, 'infinity')`;
    await db.sql`update migrations set applied_at = now() - interval '1 year'`;
    onTestFinished(async () => void (await db.sql`update migrations set applied_at = now() - interval '6 months'`));
    await queueAll(3);
    expect(await queued([accountId])).toEqual(whole.map((each) => `${accountId} ${each}`));
    expect(await db.sql`select from statement_runs where accounts_until = 'infinity'`).toHaveLength(1 + past.length);
  });

  test("begins with last month where it has never run", async () => {
    await queueAll();
    const runs = await db.sql`select to_char(month, 'YYYY-MM') as month from statement_runs`;
    expect([...runs]).toEqual([{ month }]);
  });

  test("may be called by notify alone, which cannot read what it looks at (use.usage)", async () => {
    await expect(notify`select from usage_events`).rejects.toMatchObject({ code: "42501" });
    await expect(notify`select from statement_runs`).rejects.toMatchObject({ code: "42501" });
    await expect(billing.run((sql) => sql`select queue_statement_mail(1, 1)`)).rejects.toMatchObject({ code: "42501" });
  });
});

describe("notify()", () => {
  const edgeSecret = "an edge secret of tests";

  /** Billing as notify calls it, signed, without the HTTP between. */
  function billingPost() {
    const handler = createBilling({
      edgeSecrets: { notify: edgeSecret }, database: billing, statementDatabase: billing, clock: systemClock, leaseTtlMs: 100, invoices: invoiceSettings,
    });
    return async (path: string, body: unknown): Promise<any> => {
      const text = JSON.stringify(body);
      const headers = { [signatureHeader]: sign(edgeSecret, { from: "notify", to: "billing", path, body: text }) };
      const response = await handler(new Request(`http://billing${path}`, { method: "POST", headers, body: text }));
      if (!response.ok) throw new Error("refused");
      return response.json();
    };
  }

  /** Its parts, by the name of the file; the words have none. */
  function partsOf({ head, body }: Taken): Map<string, Buffer> {
    const boundary = /boundary="(.+?)"/.exec(head)![1]!;
    const parts = new Map<string, Buffer>();
    for (const part of body.split(`--${boundary}`).slice(1, -1)) {
      const end = part.indexOf("\r\n\r\n");
      const name = /filename="?([^"\r\n;]+)/.exec(part.slice(0, end))?.[1] ?? "";
      parts.set(name, /base64/.test(part.slice(0, end)) ? Buffer.from(part.slice(end), "base64") : Buffer.from(part.slice(end)));
    }
    return parts;
  }

  test("sends last month's statement with the files that the routes give, once, and keeps nothing of it (use.account, keep.usage)", async () => {
    const relay = await startRelay();
    const mailer = createMailer({ smtpUrl: `smtp://127.0.0.1:${relay.port}`, from: "hello@example.com" });
    onTestFinished(async () => {
      mailer.close();
      await relay.close();
    });
    const accountId = await person(startMs, [startMs], [startMs + dayMs, startMs + 2 * dayMs]);
    // Nobody but this one, whose mail is then sent and gone.
    await queueAll();
    await db.sql`delete from outbox where account_id <> ${accountId}`;
    const lines: string[] = [];
    let away = true;
    const post = billingPost();
    const attachmentsOf = createAttachments({ post: (path, body) => (away ? Promise.reject(new Error("away")) : post(path, body)) });
    const run = async () => (await createNotify({ open, mailer, linkOf: async () => "", attachmentsOf, log: createLog("notify", (line) => lines.push(line)) })(new Request("http://notify/", { method: "POST" }))).json();

    expect(await run()).toEqual({ sent: 0, failed: 1 });
    expect(relay.taken).toEqual([]);
    away = false;
    await db.sql`update outbox set next_attempt_at = now()`;
    expect(await run()).toEqual({ sent: 1, failed: 0 });
    expect(await run()).toEqual({ sent: 0, failed: 0 });
    expect(await db.sql`select from outbox`).toHaveLength(0);

    const [mail] = relay.taken;
    const parts = partsOf(mail!);
    expect(mail!.head).toContain(`Subject: Laporan bulanan Epithre ${month} / Your Epithre statement ${month}`);
    const statement = await readStatement(billing, accountId, month);
    const files = [await statementPdf(statement, invoiceSettings.seller), statementCsv(statement)];
    expect([...parts.keys()]).toEqual(["", ...files.map(({ filename }) => filename)]);
    for (const { filename, bytes } of files) expect(parts.get(filename)!.equals(Buffer.from(bytes))).toBe(true);
    expect(parts.get("")!.toString()).toContain(`terlampir laporan bulanan akun Epithre Anda untuk ${month}`);
    expect(parts.get("")!.toString()).toContain(`attached is the monthly statement of your Epithre account for ${month}`);
    for (const value of [accountId, month, "@"]) expect(lines.join()).not.toContain(value);
  });
});

describe("/documents of billing", () => {
  test("makes no statement for the proxy, nor of a month that cannot be had", async () => {
    const handler = createBilling({
      edgeSecrets: { notify: "n", proxy: "p" }, database: billing, statementDatabase: billing, clock: systemClock, leaseTtlMs: 100, invoices: invoiceSettings,
    });
    const ask = async (from: "notify" | "proxy", body: object) => {
      const text = JSON.stringify(body);
      const headers = { [signatureHeader]: sign(from[0]!, { from, to: "billing", path: "/documents", body: text }) };
      return (await handler(new Request("http://billing/documents", { method: "POST", headers, body: text }))).status;
    };
    const request = { kind: "statement", accountId: probe, month };
    expect(await ask("notify", request)).toBe(200);
    expect(await ask("proxy", request)).toBe(401);
    expect(await ask("notify", { ...request, month: "2020-02" })).toBe(404);
    expect(await ask("notify", { ...request, month: "2020-2" })).toBe(400);
    expect(await ask("notify", { ...request, prompt: "x" })).toBe(400);
  });
});
