import { randomUUID } from "node:crypto";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { connect, type Sql } from "#shared/db.ts";
import type { Mail } from "#shared/mail.ts";
import { createHandler as createAdmin } from "../../functions/admin/handler.ts";
import { findPriceBook } from "../../functions/billing/queries.ts";
import { createHandler as createNotify } from "../../functions/notify/handler.ts";
import { queueRetirementMail } from "../../functions/notify/queries.ts";
import { addModel } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { adminSettings, openTestSession } from "../support/operators.ts";
import { addSlice, addUsage } from "../support/purge.ts";

const dayMs = 86_400_000;

let db: TestDatabase;
let operatorToken: string;
let pool: DatabasePool;
let sql: Sql;
let slices: { old: string; recent: string; gone: string };

beforeEach(async () => {
  await close();
  db = await createTestDatabase();
  pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  operatorToken = await openTestSession(db);
  sql = connect({ url: db.urlFor("notify"), connections: 2 });
  // The first model has the id that addUsage() writes.
  for (const name of ["test-chat", "other-chat"]) await addModel(db.sql, name);
  slices = {
    old: await addSlice(db.sql, "89 days"),
    recent: await addSlice(db.sql, "2 days"),
    gone: await addSlice(db.sql, "91 days"),
  };
});
afterAll(close);

async function close(): Promise<void> {
  await Promise.all([pool?.close(), sql?.end()]);
  await db?.close();
}

async function admin(path: string, body: object) {
  const handler = createAdmin({ database: pool, ...adminSettings });
  const headers = { authorization: `Bearer ${operatorToken}` };
  const response = await handler(new Request(`http://admin${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
  return { status: response.status, body: (await response.json()) as any };
}

const inDays = (days: number) => Date.now() + days * dayMs;
const announce = (days = 31) => admin("/models/retire", { id: "test-chat", retiresAtMs: inDays(days) });
const withdraw = () => admin("/models/retire/withdraw", { id: "test-chat" });

async function person(): Promise<{ id: string; email: string }> {
  const email = `${randomUUID()}@example.org`;
  const [account] = await db.sql<{ id: string }[]>`insert into accounts default values returning id`;
  await db.sql`insert into persons (account_id, email) values (${account!.id}, ${email})`;
  return { id: account!.id, email };
}

/** Everything that a run of notify sends. */
async function mailSent(): Promise<Mail[]> {
  const sent: Mail[] = [];
  const mailer = { send: async (mail: Mail) => void sent.push(mail), close() {} };
  const open = () => connect({ url: db.urlFor("notify"), connections: 1 });
  const handler = createNotify({ open, mailer, attachmentsOf: async () => [], linkOf: async () => "", log: () => {} } as Parameters<typeof createNotify>[0]);
  expect((await handler(new Request("http://notify/", { method: "POST" }))).status).toBe(200);
  return sent;
}

const actions = async () => (await db.sql<{ action: string }[]>`select action from audit_log where action::text not like 'operator%' order by id`).map(({ action }) => action);

describe("the retirement of a model", () => {
  test("is announced at least the notice ahead, once, and stands in the price book (keep.audit)", async () => {
    expect((await announce(29.9)).body.error.message).toContain("its date is sooner than the notice that users get");
    expect((await admin("/models/retire", { id: "nowhere", retiresAtMs: inDays(40) })).status).toBe(404);
    expect((await announce()).status).toBe(200);
    expect((await announce(60)).body.error.message).toContain("it is announced already");
    expect(await actions()).toEqual(["retirement_announced"]);
    const billing = connect({ url: db.urlFor("billing"), connections: 1 });
    const book = await findPriceBook(billing);
    await billing.end();
    const { announcedAtMs, retiresAtMs } = book.find(({ id }) => id === "test-chat")!.retirement!;
    expect(Math.round((retiresAtMs - announcedAtMs) / dayMs)).toBe(31);
    expect(book.find(({ id }) => id === "other-chat")!.retirement).toBeNull();
  });

  test("is written to who used the model in the last 90 days, once each, and to nobody else (use.account)", async () => {
    const [often, old, gone, other, closed, idle] = await Promise.all(Array.from({ length: 6 }, person));
    for (const slice of [slices.old, slices.recent]) await addUsage(db.sql, slice, often!.id, often!.id, 50);
    await addUsage(db.sql, slices.recent, closed!.id);
    await addUsage(db.sql, slices.recent, other!.id);
    await db.sql`update usage_events set model_id = 2 where account_id = ${other!.id}`;
    await addUsage(db.sql, slices.old, old!.id);
    await addUsage(db.sql, slices.gone, gone!.id);
    await db.sql`update accounts set status = 'closed', closed_at = now() where id = ${closed!.id}`;
    await announce();
    const sent = await mailSent();
    expect(sent.map(({ to }) => to).sort()).toEqual([often!.email, old!.email].sort());
    const day = new Date(inDays(31)).toISOString().slice(0, 10);
    for (const words of ["test-chat", day]) expect(sent[0]!.text.split(words)).toHaveLength(3);
    expect(await mailSent()).toEqual([]);
    expect(idle!.email).not.toBe(sent[0]!.to);
  });

  test("is looked for in small steps that go on where one that died ended, and nobody hears of it before the last", async () => {
    const [one, two] = [await person(), await person()];
    await addUsage(db.sql, slices.recent, one.id);
    await addUsage(db.sql, slices.old, two.id);
    await announce();
    let steps = 0;
    while (await queueRetirementMail(sql)) {
      steps += 1;
      // A step that is rolled back is done again.
      await sql.begin(async (dying) => {
        await queueRetirementMail(dying as unknown as Sql);
        throw new Error("died");
      }).catch(() => {});
      const [row] = await db.sql<{ released: boolean; notices: bigint }[]>`
        select coalesce(bool_or(next_attempt_at <= now()), false) as released, (select count(*) from retirement_notices) as notices from outbox
      `;
      expect(row!.released).toBe(row!.notices === 0n);
    }
    expect(steps).toBeGreaterThan(90);
    expect((await db.sql`select account_id as id from outbox order by id`).map(({ id }) => id).sort()).toEqual([one.id, two.id].sort());
  });

  test("is withdrawn before its date, with the mail that has not gone out; afterwards it stands", async () => {
    const { id } = await person();
    await addUsage(db.sql, slices.recent, id);
    expect((await withdraw()).status).toBe(404);
    await announce();
    for (let step = 0; step < 60; step += 1) await queueRetirementMail(sql);
    expect(await db.sql`select from outbox`).toHaveLength(1);
    expect((await withdraw()).status).toBe(200);
    expect(await mailSent()).toEqual([]);
    expect(await actions()).toEqual(["retirement_announced", "retirement_withdrawn"]);
    await announce();
    expect(await mailSent()).toHaveLength(1);
    await db.sql`update models set retirement_announced_at = now() - interval '40 days', retires_at = now() where name = 'test-chat'`;
    expect((await withdraw()).body.error.message).toBe("Cannot withdraw retirement: its date has passed");
  });
});
