import { randomUUID } from "node:crypto";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { connect, sqlState, type Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { readBookedUntil, readBooks } from "../../functions/admin/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";
import { addModel, openAccount, settlement } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addLease } from "../support/leases.ts";
import { addSlice, addUsage, createPurge, createSlice, purgeOnce, slices } from "../support/purge.ts";

let db: TestDatabase;
let admin: Sql;
let usageRecord: Sql;
let accountId: string;
let leaseId: string;

beforeEach(async () => {
  await close();
  db = await createTestDatabase();
  admin = connect({ url: db.urlFor("admin"), connections: 1 });
  usageRecord = connect({ url: db.urlFor("usage-record"), connections: 2 });
  for (const name of ["test-chat", "other-chat"]) await addModel(db.sql, name);
  accountId = await openAccount(db.sql, 1_000_000);
  leaseId = await lease(500_000);
});
afterAll(close);

async function close(): Promise<void> {
  await Promise.all([admin?.end(), usageRecord?.end()]);
  await db?.close();
}

const lease = (micro: number) => addLease(db.sql, accountId, micro);

/** The slice of 4 hours that began this long ago, as settlements find it; answers a time in it. */
async function openSlice(age: string): Promise<number> {
  const [row] = await db.sql<{ name: string; from: string; to: string; at: Date }[]>`
    with slice as (select usage_slice_start(now() - ${age}::interval) as start)
    select usage_slice_name(start) as name, uuidv7_floor(start) as from, uuidv7_floor(start + interval '4 hours') as to, start as at
    from slice
  `;
  const { name, from, to, at } = row!;
  await createSlice(db.sql, name, from, to);
  return at.getTime() + 1_000;
}

const ended = (atMs: number, given: Partial<Settlement> = {}) => settlement({ accountId, leaseId, requestId: uuidv7(atMs), ...given });

/** Every day that there is, by day and model. */
const books = () => readBooks(admin, { from: "2000-01-01", to: "2100-01-01" });
const dayOf = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);

describe("the operator's books", () => {
  test("have what each model was used for on each day, over all accounts, and what was lost of the price", async () => {
    const [before, after] = [await openSlice("3 days"), await openSlice("2 days")];
    const other = await openAccount(db.sql, 1_000_000);
    await settle(usageRecord, [
      ended(before, { cachedTokens: 3, reasoningTokens: 5, images: 2 }),
      ended(before, { accountId: other, leaseId: randomUUID(), costMicro: 7 }),
      ended(before, { model: "other-chat" }),
      ended(after),
    ]);
    expect(await books()).toEqual([]);
    await purgeOnce(db);
    const used = { requests: 1, promptTokens: 12, cachedTokens: 0, completionTokens: 34, reasoningTokens: 0, images: 0, costMicro: "1000", lossRequests: 0, lossMicro: "0" };
    expect(await books()).toEqual([
      { ...used, day: dayOf(before), model: "other-chat" },
      { ...used, day: dayOf(before), model: "test-chat", requests: 2, promptTokens: 24, cachedTokens: 3, completionTokens: 68, reasoningTokens: 5, images: 2, costMicro: "1007" },
      { ...used, day: dayOf(after), model: "test-chat" },
    ]);
    expect(await readBooks(admin, { from: dayOf(after), to: dayOf(after) })).toHaveLength(1);
  });

  test("count each event once, however often purge runs, and also those that are settled after their slice was booked", async () => {
    const at = await openSlice("2 days");
    await settle(usageRecord, [ended(at)]);
    await purgeOnce(db);
    const late = [ended(at), ended(at, { model: "other-chat", images: 1 })];
    await settle(usageRecord, late);
    await settle(usageRecord, late);
    await purgeOnce(db);
    expect((await books()).map(({ model, requests, images, costMicro }) => [model, requests, images, costMicro])).toEqual([
      ["other-chat", 1, 1, "1000"],
      ["test-chat", 2, 0, "2000"],
    ]);
  });

  test("have what a late settlement was charged, with its loss beside it, when its account cannot pay all of it", async () => {
    const at = await openSlice("2 days");
    await purgeOnce(db);
    leaseId = await lease(300);
    await db.sql`update balances set consumed_micro = credited_micro - leased_micro where account_id = ${accountId}`;
    await settle(usageRecord, [ended(at), ended(at)]);
    const all = await books();
    expect(all.map(({ day, requests, costMicro, lossRequests, lossMicro }) => ({ day, requests, costMicro, lossRequests, lossMicro }))).toEqual([
      { day: dayOf(at), requests: 2, costMicro: "300", lossRequests: 0, lossMicro: "0" },
      { day: dayOf(Date.now()), requests: 0, costMicro: "0", lossRequests: 2, lossMicro: "1700" },
    ]);
  });

  test("leave out a slice that can still fill, and say until when they are whole", async () => {
    const [row] = await db.sql<{ oldest: Date }[]>`select min(starts_at) as oldest from unbooked_slices() where starts_at > now() - interval '5 hours'`;
    const at = await openSlice("2 days");
    await settle(usageRecord, [ended(Date.now()), ended(at)]);
    expect((await readBookedUntil(admin))!.getTime()).toBe(at - 1_000);
    await purgeOnce(db);
    expect((await books()).map(({ day }) => day)).toEqual([dayOf(at)]);
    expect(await readBookedUntil(admin)).toEqual(row!.oldest);
  });

  test("have a slice before it goes, and keep it when it and its accounts have gone (keep.usage, right.delete)", async () => {
    const due = await addSlice(db.sql, "91 days");
    await addUsage(db.sql, due, accountId, accountId, 5);
    const closed = await openAccount(db.sql);
    const at = await openSlice("20 days");
    await settle(usageRecord, [ended(at, { accountId: closed, leaseId: randomUUID(), costMicro: 0 })]);
    await db.sql`update accounts set status = 'closed', closed_at = now() - interval '20 days' where id = ${closed}`;
    await purgeOnce(db);
    await purgeOnce(db);
    expect(await slices(db.sql)).not.toContain(due);
    expect(await db.sql`select from usage_events where account_id = ${closed}`).toEqual([]);
    expect((await books()).map(({ requests, costMicro }) => [requests, costMicro])).toEqual([[5, "5"], [1, "0"]]);
  });

  test("are filled a few slices a run, also when deleting is refused, so that what is due is never held up", async () => {
    for (let day = 2; day < 10; day += 1) await settle(usageRecord, [ended(await openSlice(`${day} days`))]);
    await db.sql`
      insert into purge_runs (state, early_days, started_at, finished_at)
      values ('finished', 0, now() - interval '3 days', now() - interval '3 days')
    `;
    const purge = createPurge(db);
    expect((await purge.run()).outcome).toBe("gap");
    expect(await books()).toHaveLength(6);
    expect((await purge.run()).outcome).toBe("gap");
    expect(await books()).toHaveLength(8);
  });

  test("never hold up what is due: a run in which they fail says so and deletes all the same (keep.usage)", async () => {
    const due = await addSlice(db.sql, "91 days");
    await addUsage(db.sql, due, accountId);
    await db.sql`alter table daily_books add constraint broken check (requests < 0) not valid`;
    const { lines } = await purgeOnce(db);
    expect(lines[0]).toEqual({ at: "handler_failed", kind: "database", sqlState: "23514" });
    expect(await slices(db.sql)).not.toContain(due);
  });

  test("wait for a settlement under way, not for readers, and are whole or untouched when a run ends half way", async () => {
    const at = await openSlice("2 days");
    const [run] = await db.sql<{ id: string }[]>`insert into purge_runs (state, early_days) values ('running', 0) returning id`;
    await db.sql.begin(async (writer) => {
      await settle(writer as unknown as Sql, [ended(at)]);
      const thrown = await db.sql`select book_usage_slice(${run!.id})`.catch((error: unknown) => error);
      expect(sqlState(thrown)).toBe("55P03");
      expect(await books()).toEqual([]);
    });
    await db.sql.begin(async (reader) => {
      await reader`select count(*) from usage_events`;
      expect(await db.sql`select book_usage_slice(${run!.id}) as booked`).toEqual([{ booked: 1 }]);
    });
    expect((await books()).map(({ requests }) => requests)).toEqual([1]);
  });
});
