import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect, type Sql } from "#shared/db.ts";
import { createLog } from "#shared/log.ts";
import { createMailer, type Mailer } from "#shared/mail.ts";
import { createHandler } from "../../functions/notify/handler.ts";
import { templates } from "../../functions/notify/templates.ts";
import { mailTemplates } from "../../functions/notify/schema.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Relay, startRelay, type Taken } from "../support/relay.ts";

let db: TestDatabase;
let relay: Relay;
let mailer: Mailer;
let lines: string[];

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.close();
});
beforeEach(async () => {
  relay = await startRelay();
  mailer = createMailer({ smtpUrl: `smtp://127.0.0.1:${relay.port}`, from: "hello@example.com" });
  lines = [];
});
afterEach(async () => {
  mailer.close();
  await relay.close();
  await db.sql`delete from outbox`;
});

const open = (): Sql => connect({ url: db.urlFor("notify"), connections: 1 });

const linkOf = async () => "https://epithre.example/dashboard/";

/** A replica; calling it is the schedule's call. */
function createNotifier(by: Mailer) {
  const handler = createHandler({ open, mailer: by, attachmentsOf: async () => [], linkOf, log: createLog("notify", (line) => lines.push(line)) });
  return async () => {
    const response = await handler(new Request("http://notify/", { method: "POST" }));
    return { status: response.status, body: (await response.json()) as any };
  };
}

const notify = (by: Mailer = mailer) => createNotifier(by)();

async function queueWelcome(): Promise<{ email: string; id: string }> {
  const email = `${randomUUID()}@example.org`;
  const [account] = await db.sql<{ id: string }[]>`insert into accounts default values returning id`;
  await db.sql`insert into persons (account_id, email, name) values (${account!.id}, ${email}, 'Someone')`;
  await db.sql`select queue_mail(${account!.id}, 'welcome')`;
  const [mail] = await db.sql<{ id: string }[]>`select id from outbox where account_id = ${account!.id}`;
  return { email, id: mail!.id };
}

const messageId = ({ head }: Taken) => /^Message-ID: <(.+)>$/im.exec(head)?.[1];
const makeDue = () => db.sql`update outbox set next_attempt_at = now()`;
const inOutbox = (id: string) => db.sql`select from outbox where id = ${id}`.then((rows) => rows.length === 1);

describe("notify()", () => {
  test("sends what the outbox has, once, as plain text in both languages, and keeps nothing of it (use.account)", async () => {
    const { email, id } = await queueWelcome();
    expect(await notify()).toEqual({ status: 200, body: { sent: 1, failed: 0 } });
    expect(await inOutbox(id)).toBe(false);
    expect((await notify()).body).toEqual({ sent: 0, failed: 0 });
    expect(relay.taken).toHaveLength(1);
    const [mail] = relay.taken;
    expect(mail).toMatchObject({ from: "hello@example.com", to: [email] });
    expect(messageId(mail!)).toBe(`${id}@example.com`);
    for (const line of ["Content-Type: text/plain; charset=utf-8", "Auto-Submitted: auto-generated", `To: ${email}`]) {
      expect(mail!.head.toLowerCase()).toContain(line.toLowerCase());
    }
    expect(mail!.body).toContain("akun Epithre untuk alamat ini sudah dibuka");
    expect(mail!.body).toContain("an Epithre account was opened for this address");
    expect(mail!.head + mail!.body).not.toMatch(/X-Mailer|Someone|http/i);
  });

  test("tells an account once that its balance has fallen below its threshold (use.account)", async () => {
    const { email, id } = await queueWelcome();
    await db.sql`select set_balance_alert((select account_id from outbox where id = ${id}), 1)`;
    expect((await notify()).body).toEqual({ sent: 2, failed: 0 });
    expect(relay.taken.map(({ to }) => to)).toEqual([[email], [email]]);
    expect(relay.taken[1]!.head).toContain("Subject: Saldo Epithre Anda menipis / Your Epithre balance is low");
    expect(relay.taken[1]!.body).toContain("saldo akun Epithre Anda sudah di bawah batas");
    expect(relay.taken[1]!.body).toContain("the balance of your Epithre account is below the threshold");
    expect((await notify()).body).toEqual({ sent: 0, failed: 0 });
  });

  test("sends what waits although no more can be queued, and says so", async () => {
    await queueWelcome();
    await db.sql`revoke execute on function queue_low_balance_mail(integer) from epithre_notify`;
    const { body } = await notify().finally(() => db.sql`grant execute on function queue_low_balance_mail(integer) to epithre_notify`);
    expect(body).toEqual({ sent: 1, failed: 0 });
    expect(lines.map((line) => JSON.parse(line).at)).toEqual(["handler_failed", "mail_sent"]);
  });

  test("logs how many, and nothing of them (content.none)", async () => {
    const { email, id } = await queueWelcome();
    await notify();
    relay.refuse = true;
    await queueWelcome();
    await notify();
    expect(lines.map((line) => JSON.parse(line).at)).toEqual(["mail_sent", "mail_failed"]);
    for (const secret of [email, id, "@", "Epithre account"]) expect(lines.join()).not.toContain(secret);
  });

  test("keeps what the relay refuses, and tries it again later under the same id", async () => {
    const { id } = await queueWelcome();
    relay.refuse = true;
    expect((await notify()).body).toEqual({ sent: 0, failed: 1 });
    relay.refuse = false;
    expect((await notify()).body).toEqual({ sent: 0, failed: 0 });
    const waits = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const [row] = await db.sql<{ minutes: number; attempts: number }[]>`
        select round(extract(epoch from next_attempt_at - now()) / 60)::float8 as minutes, attempts from outbox where id = ${id}
      `;
      expect(row!.attempts).toBe(attempt);
      waits.push(row!.minutes);
      relay.refuse = attempt < 3;
      await makeDue();
      await notify();
    }
    expect(waits).toEqual([1, 2, 4]);
    expect(relay.taken.map(messageId)).toEqual([`${id}@example.com`]);
  });

  test("gives a mail up after 12 attempts", async () => {
    const { id } = await queueWelcome();
    relay.refuse = true;
    await db.sql`update outbox set attempts = 10 where id = ${id}`;
    await notify();
    expect(await inOutbox(id)).toBe(true);
    await makeDue();
    expect((await notify()).body.failed).toBe(1);
    expect(await inOutbox(id)).toBe(false);
  });

  test("stops at a relay that takes nothing, before all mails have used up an attempt", async () => {
    await Promise.all(Array.from({ length: 7 }, queueWelcome));
    relay.refuse = true;
    expect((await notify()).body).toEqual({ sent: 0, failed: 5 });
    expect(await db.sql`select from outbox where attempts = 0`).toHaveLength(2);
  });

  test("keeps everything while the relay is away", async () => {
    const { id } = await queueWelcome();
    await relay.close();
    expect((await notify()).body).toEqual({ sent: 0, failed: 1 });
    expect(await inOutbox(id)).toBe(true);
  });

  test("sends a mail again, under the same id, when it ends before it noted the relay's yes", async () => {
    await queueWelcome();
    const interrupted: Mailer = {
      async send(mail) {
        await mailer.send(mail);
        throw new Error("ended here");
      },
      close() {},
    };
    await notify(interrupted);
    await makeDue();
    expect((await notify()).body).toEqual({ sent: 1, failed: 0 });
    expect(relay.taken).toHaveLength(2);
    expect(new Set(relay.taken.map(messageId)).size).toBe(1);
  });

  test("runs once at a time, on all replicas together, and each mail goes out once", async () => {
    const mails = await Promise.all(Array.from({ length: 25 }, queueWelcome));
    const [began, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const held: Mailer = {
      async send(mail) {
        began.resolve();
        await mayGoOn.promise;
        await mailer.send(mail);
      },
      close() {},
    };
    const [replica, other] = [createNotifier(held), createNotifier(mailer)];
    const first = replica();
    await began.promise;
    expect((await replica()).body).toEqual({ sent: 0, failed: 0 });
    expect((await other()).body).toEqual({ sent: 0, failed: 0 });
    mayGoOn.resolve();
    expect((await first).body).toEqual({ sent: 25, failed: 0 });
    expect(relay.taken.flatMap(({ to }) => to).sort()).toEqual(mails.map(({ email }) => email).sort());
    await queueWelcome();
    expect((await other()).body).toEqual({ sent: 1, failed: 0 });
  });

  test("answers 503 when the database fails in the middle, says what was sent, and goes on with the next run", async () => {
    await Promise.all([queueWelcome(), queueWelcome()]);
    await db.sql`revoke execute on function finish_mail(uuid) from epithre_notify`;
    const { status, body } = await notify().finally(() => db.sql`grant execute on function finish_mail(uuid) to epithre_notify`);
    expect([status, body.error.code]).toEqual([503, "service_unavailable"]);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { at: "mail_sent", messages: 1 },
      { at: "handler_failed", sqlState: "42501" },
    ]);
    await makeDue();
    expect((await notify()).body).toEqual({ sent: 2, failed: 0 });
    expect(new Set(relay.taken.map(messageId)).size).toBe(2);
  });

  test("answers its one route only", async () => {
    const handler = createHandler({ open, mailer, attachmentsOf: async () => [], linkOf, log: () => {} });
    expect((await handler(new Request("http://notify/"))).status).toBe(405);
    expect((await handler(new Request("http://notify/outbox", { method: "POST" }))).status).toBe(404);
  });

  test("can read no table, only take the mail that is due (use.account)", async () => {
    const sql = open();
    for (const table of ["outbox", "persons", "accounts"]) {
      await expect(sql`select from ${sql(table)}`).rejects.toThrow("permission denied");
    }
    await sql.end();
  });

  test("has words for every template that the database knows", async () => {
    const [row] = await db.sql<{ names: string[] }[]>`select enum_range(null::mail_template)::text[] as names`;
    expect([...mailTemplates]).toEqual(row!.names);
  });
});

test("mail that a file is ready leads to the dashboard, and names no file (right.export)", () => {
  const link = "https://epithre.example/dashboard/";
  const { text } = templates.export_ready({ objectId: randomUUID(), month: null, model: null, retiresOn: null, link });
  expect(text.match(/https?:\S+/g)).toEqual([link]);
  expect(text).not.toMatch(/[0-9a-f]{8}-|usage\/exports|[^\n]{77}/);
});

describe("createMailer()", () => {
  test("sends nothing in the clear to another machine", async () => {
    // Reaches this machine, under a name that does not say so.
    const open = createMailer({ smtpUrl: `smtp://0.0.0.0:${relay.port}`, from: "hello@example.com" });
    await expect(open.send({ to: "person@example.org", subject: "s", text: "t", id: randomUUID() })).rejects.toThrow();
    open.close();
    expect(relay.taken).toHaveLength(0);
  });
});
