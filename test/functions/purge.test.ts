import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "#shared/db.ts";
import { purgeLeadHours } from "#shared/stored-data.ts";
import { openAccount } from "../support/accounts.ts";
import { addClaim } from "../support/claims.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addUnpaidInvoice } from "../support/invoices.ts";
import { addExport, addSlice, addUsage, clockThatEndsRuns, createPurge, purgeOnce, slices } from "../support/purge.ts";
import { waitFor } from "../support/wait.ts";

let db: TestDatabase;
let account: string;

beforeAll(async () => {
  db = await createTestDatabase();
  account = await openAccount(db.sql, 1_000_000);
});
afterAll(() => db.close());

const newPurge = (given: Parameters<typeof createPurge>[1] = {}) => createPurge(db, given);

/** A key that was revoked this long ago; answers its id. */
async function addRevokedKey(age: string): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    insert into api_keys (account_id, hash, prefix, name, scopes, revoked_at)
    values (${account}, ${randomBytes(32)}, 'ep_000000000', 'old', array['chat'], now() - ${age}::interval) returning id
  `;
  return row!.id;
}

async function addAuditRow(age: string): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    insert into audit_log (at, actor, action, object_id)
    values (now() - ${age}::interval, 'operator', 'key_created', ${randomUUID()}) returning object_id as id
  `;
  return row!.id;
}

async function addMail(age: string): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    insert into outbox (account_id, template, created_at) values (${account}, 'welcome', now() - ${age}::interval) returning id
  `;
  return row!.id;
}

async function addBillingEvent(age: string): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    with event as (
      insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key, created_at)
      values (${account}, 'top_up', 5, 'bank_transfer', ${randomUUID()}, now() - ${age}::interval) returning id
    ), entries as (
      insert into ledger_entries (event_id, ledger_account, account_id, amount_micro)
      select id, 'customer'::ledger_account, ${account}::uuid, 5 from event union all select id, 'bank', null, -5 from event
    )
    select id from event
  `;
  return row!.id;
}

/** An invoice that was paid this long ago, by a billing event of that time. */
async function addPaidInvoice(age: string): Promise<string> {
  const eventId = await addBillingEvent(age);
  const id = await addUnpaidInvoice(db.sql, age);
  await db.sql`update invoices set state = 'paid', paid_at = now(), billing_event_id = ${eventId} where id = ${id}`;
  return id;
}

async function addRun(age: string): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    insert into purge_runs (state, early_days, started_at) values ('interrupted', 0, now() - ${age}::interval) returning id
  `;
  return row!.id;
}

async function exists(table: string, column: string, id: string): Promise<boolean> {
  const rows = await db.sql`select from ${db.sql(table)} where ${db.sql(column)} = ${id}`;
  return rows.length > 0;
}

/** The limit is met two hours early, so that one run that fails makes nothing late. */
async function expectLimit(
  days: number,
  add: (age: string) => Promise<string>,
  [table, column]: [string, string],
  given: Parameters<typeof createPurge>[1] = {},
): Promise<void> {
  const due = await add(`${days} days -119 minutes`);
  const young = await add(`${days} days -121 minutes`);
  await purgeOnce(db, given);
  expect({ due: await exists(table, column, due), young: await exists(table, column, young) }).toEqual({ due: false, young: true });
}

describe("purge()", () => {
  test("drops a slice whole before its oldest event is 90 days old, and none that is younger (keep.usage)", async () => {
    const due = await addSlice(db.sql, "90 days -119 minutes");
    const older = await addSlice(db.sql, "91 days");
    const young = await addSlice(db.sql, "90 days -121 minutes", true);
    await addUsage(db.sql, due, account, account, 3);
    await addUsage(db.sql, young, account);
    const { lines } = await purgeOnce(db);
    const left = await slices(db.sql);
    expect([due, older, young].filter((slice) => left.includes(slice))).toEqual([young]);
    expect(lines.at(-1)).toMatchObject({ at: "purge_finished", dropped: 2 });
    expect(await db.sql`select live_days, done from purge_steps where step = 'usage_events'`).toEqual([{ live_days: 90, done: 2n }]);
  });

  test("deletes what is left of an Idempotency-Key once it no longer counts, also with backups (keep.usage)", async () => {
    const [due, young] = [await addClaim(db.sql, account, "24 hours"), await addClaim(db.sql, account, "23 hours 59 minutes")];
    const { lines } = await purgeOnce(db, { backupWindowDays: 7 });
    expect([await exists("idempotency_claims", "request_id", due), await exists("idempotency_claims", "request_id", young)]).toEqual([false, true]);
    expect(lines.at(-1)).toMatchObject({ at: "purge_finished", deleted: 1 });
    expect(await db.sql`select live_days, done from purge_steps where step = 'idempotency_claims' and done > 0`).toEqual([{ live_days: 2, done: 1n }]);
  });

  test("deletes throttles that have ended, also with backups, and none that are in force (keep.usage)", async () => {
    const [due, young] = [await openAccount(db.sql), await openAccount(db.sql)];
    await db.sql`
      insert into throttles (account_id, signal, requests_per_minute, began_at, ends_at) values
        (${due}, 'left', 10, now() - interval '1 hour', now()), (${young}, 'left', 10, now(), now() + interval '1 minute')
    `;
    await purgeOnce(db, { backupWindowDays: 7 });
    expect([await exists("throttles", "account_id", due), await exists("throttles", "account_id", young)]).toEqual([false, true]);
    expect(await db.sql`select done from purge_steps where step = 'throttles' and done > 0`).toEqual([{ done: 1n }]);
  });

  test("deletes usage_exports that export has forgotten, also with backups, and no younger one (keep.usage)", async () => {
    const [due, young] = [await addExport(db.sql, account, "24 hours"), await addExport(db.sql, account, "23 hours 59 minutes")];
    const { lines } = await purgeOnce(db, { backupWindowDays: 7 });
    expect([await exists("usage_exports", "id", due), await exists("usage_exports", "id", young)]).toEqual([false, true]);
    expect(lines.at(-1)).toMatchObject({ at: "purge_finished", deleted: 1 });
    expect(await db.sql`select live_days, done from purge_steps where step = 'usage_exports' and done > 0`).toEqual([{ live_days: 2, done: 1n }]);
  });

  test("takes no other table's name for a time, whatever plan the catalogue's statistics lead to", async () => {
    await db.sql`create table other_table_with_a_writer ()`;
    try {
      for (const plan of ["on", "off"]) {
        await db.sql`alter role epithre_purge in database ${db.sql(new URL(db.url).pathname.slice(1))} set enable_nestloop = ${db.sql.unsafe(plan)}`;
        await purgeOnce(db);
      }
    } finally {
      await db.sql`drop table other_table_with_a_writer`;
      await db.sql`alter role epithre_purge in database ${db.sql(new URL(db.url).pathname.slice(1))} reset enable_nestloop`;
    }
  });

  test("lets no event go more than 6 hours early: a slice's length and the lead together (keep.usage)", async () => {
    const [row] = await db.sql<{ hours: number }[]>`
      select max(extract(epoch from usage_slice_start(at + interval '1 minute') - usage_slice_start(at)) / 3600)::float8 as hours
      from generate_series(now(), now() + interval '2 days', interval '1 minute') as at
    `;
    expect(row!.hours).toBeGreaterThan(0);
    expect(row!.hours + purgeLeadHours).toBeLessThanOrEqual(6);
  });

  test("deletes a revoked key before 90 days have passed, and no key in force (keep.key)", async () => {
    const inForce = await addRevokedKey("0 days");
    await db.sql`update api_keys set revoked_at = null where id = ${inForce}`;
    await expectLimit(90, addRevokedKey, ["api_keys", "id"]);
    expect(await exists("api_keys", "id", inForce)).toBe(true);
  });

  test("deletes mail that could not be sent before 30 days have passed (keep.account)", () =>
    expectLimit(30, addMail, ["outbox", "id"]));

  test("deletes billing events with their entries before 7 years have passed (keep.billing)", async () => {
    const before = await db.sql`select from ledger_entries`;
    await expectLimit(7 * 365, addBillingEvent, ["billing_events", "id"]);
    expect(await db.sql`select from ledger_entries`).toHaveLength(before.length + 2);
  });

  test.each(["open", "cancelled"] as const)("deletes an invoice that nobody paid (%s) before 90 days have passed since it was due (keep.billing)", (state) =>
    expectLimit(90, (age) => addUnpaidInvoice(db.sql, age, state), ["invoices", "id"]));

  test("deletes a paid invoice with its billing event before 7 years have passed, and no sooner (keep.billing)", async () => {
    const young = await addPaidInvoice("91 days");
    await expectLimit(7 * 365, addPaidInvoice, ["invoices", "id"]);
    expect(await exists("invoices", "id", young)).toBe(true);
  });

  test("deletes its own evidence after a year", () => expectLimit(365, addRun, ["purge_runs", "id"]));

  test("acts as many days earlier as backups are kept, and two more, and the evidence says so (keep.*)", async () => {
    const backupWindowDays = 7;
    await purgeOnce(db, { backupWindowDays });
    const due = await addSlice(db.sql, "81 days -119 minutes");
    const young = await addSlice(db.sql, "81 days -121 minutes", true);
    await expectLimit(81, addRevokedKey, ["api_keys", "id"], { backupWindowDays });
    expect(await slices(db.sql)).not.toContain(due);
    expect(await slices(db.sql)).toContain(young);
    const [step] = await db.sql`
      select early_days, live_days, done from purge_runs join purge_steps on run_id = id
      where step = 'usage_events' order by started_at desc limit 1
    `;
    expect(step).toEqual({ early_days: 9, live_days: 81, done: 1n });
  });

  test("makes the slices of the coming 14 days", async () => {
    const [last] = await db.sql`select max(inhrelid::regclass::text) as name from pg_inherits where inhparent = 'usage_events'::regclass`;
    await db.sql.unsafe(`drop table ${last!.name}`);
    await purgeOnce(db);
    expect(await slices(db.sql)).toContain(last!.name);
  });

  test("gives back the money of leases that have expired", async () => {
    await db.sql`update balances set leased_micro = 70 where account_id = ${account}`;
    await db.sql`
      insert into leases (account_id, replica_id, granted_micro, consumed_micro, expires_at)
      values (${account}, ${randomUUID()}, 70, 20, now() - interval '1 second')
    `;
    await purgeOnce(db);
    const [balance] = await db.sql`select consumed_micro, leased_micro from balances where account_id = ${account}`;
    expect(balance).toEqual({ consumed_micro: 20n, leased_micro: 0n });
  });

  test("goes on while a reader is in the way of a due slice, stalls no writer, and drops it once the reader has left", async () => {
    const due = await addSlice(db.sql, "95 days");
    const [current] = await db.sql<{ name: string }[]>`select usage_slice_name(now()) as name`;
    const reader = await db.sql.reserve();
    await reader`begin`;
    await reader`select count(*) from usage_events`;
    const purge = newPurge();
    const answer = purge.run();
    await waitFor("purge to wait for the reader", async () => (await db.sql`select from pg_locks where not granted`).length > 0);
    await addUsage(db.sql, current!.name, account);
    expect(await slices(db.sql)).toContain(due);
    await reader`rollback`;
    reader.release();
    expect(await answer).toEqual({ status: 200, outcome: "finished" });
    expect(await slices(db.sql)).not.toContain(due);
  });

  test("leaves to the next run what a reader did not let it do, does the rest, and says so", async () => {
    const due = await addSlice(db.sql, "96 days");
    const key = await addRevokedKey("96 days");
    const reader = await db.sql.reserve();
    await reader`begin`;
    await reader`select count(*) from usage_events`;
    expect(await newPurge().run()).toEqual({ status: 200, outcome: "finished" });
    await reader`rollback`;
    reader.release();
    expect(await slices(db.sql)).toContain(due);
    expect(await exists("api_keys", "id", key)).toBe(false);
    const [run] = await db.sql`select steps_left from purge_runs order by started_at desc limit 1`;
    // The slice, and the file of keys, in which the reader could still see the one that was deleted.
    expect(run).toEqual({ steps_left: 2 });
    await purgeOnce(db);
    expect(await slices(db.sql)).not.toContain(due);
    expect(await db.sql`select from rewrites`).toEqual([]);
  });

  test("works once at a time, in one process and in two", async () => {
    const due = await addSlice(db.sql, "97 days");
    const reader = await db.sql.reserve();
    await reader`begin`;
    await reader`select count(*) from usage_events`;
    const [one, other] = [newPurge(), newPurge()];
    const first = one.run();
    await waitFor("the first run to wait", async () => (await db.sql`select from pg_locks where not granted`).length > 0);
    expect(await one.run()).toEqual({ status: 200, outcome: "running_elsewhere" });
    expect(await other.run()).toEqual({ status: 200, outcome: "running_elsewhere" });
    expect(other.lines).toEqual([{ at: "purge_skipped", reason: "running_elsewhere" }]);
    await reader`rollback`;
    reader.release();
    expect(await first).toEqual({ status: 200, outcome: "finished" });
    expect(await slices(db.sql)).not.toContain(due);
    expect(await other.run()).toEqual({ status: 200, outcome: "finished" });
  });

  test("ended anywhere and run again does each thing once, and the evidence counts it once", async () => {
    const [before] = await db.sql`select coalesce(sum(done), 0)::int as done from purge_steps where step <> 'rewrites'`;
    const due = [await addSlice(db.sql, "98 days"), await addSlice(db.sql, "99 days")];
    const keys = [await addRevokedKey("98 days"), await addRevokedKey("99 days")];
    const rows = [await addAuditRow("400 days"), await addAuditRow("401 days")];
    await addMail("40 days");
    await addBillingEvent("2600 days");

    let ended = 0;
    for (let looks = 2; ; looks += 1) {
      const purge = newPurge({ clock: clockThatEndsRuns(looks) });
      const { status } = await purge.run();
      if (status === 200) break;
      ended += 1;
    }
    expect(ended).toBeGreaterThan(5);
    for (const slice of due) expect(await slices(db.sql)).not.toContain(slice);
    for (const key of keys) expect(await exists("api_keys", "id", key)).toBe(false);
    for (const row of rows) expect(await exists("audit_log", "object_id", row)).toBe(false);
    const [after] = await db.sql`select coalesce(sum(done), 0)::int as done from purge_steps where step <> 'rewrites'`;
    // Two slices are booked before they go.
    expect(after!.done - before!.done).toBe(10);
    expect(await db.sql`select from purge_runs where state = 'interrupted'`).not.toHaveLength(0);
  });

  test("answers 503 when its connection dies, and the next run finishes", async () => {
    const due = await addSlice(db.sql, "97 days");
    const reader = await db.sql.reserve();
    await reader`begin`;
    await reader`select count(*) from usage_events`;
    const purge = newPurge();
    const answer = purge.run();
    await waitFor("the run to wait", async () => (await db.sql`select from pg_locks where not granted`).length > 0);
    await db.sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'epithre_purge' and datname = current_database()`;
    expect((await answer).status).toBe(503);
    await reader`rollback`;
    reader.release();
    expect(await purge.run()).toEqual({ status: 200, outcome: "finished" });
    expect(await slices(db.sql)).not.toContain(due);
  });

  test("called all the time fills no table", async () => {
    await purgeOnce(db);
    const before = await db.sql`select from purge_runs`;
    for (let call = 0; call < 5; call += 1) await purgeOnce(db);
    expect(await db.sql`select from purge_runs`).toHaveLength(before.length);
  });

  test("may do nothing else: its role reads no row, deletes none, and cannot shorten a limit (use.account, use.usage)", async () => {
    const sql = connect({ url: db.urlFor("purge"), connections: 1 });
    const tables = ["accounts", "persons", "api_keys", "usage_events", "billing_events", "balances", "audit_log", "outbox", "purge_runs", "idempotency_claims", "usage_exports", "throttles"];
    for (const table of tables) {
      await expect(sql`select from ${sql(table)}`).rejects.toMatchObject({ code: "42501" });
      await expect(sql`delete from ${sql(table)}`).rejects.toMatchObject({ code: "42501" });
    }
    await expect(sql`select confirm_purge_gap('operator')`).rejects.toMatchObject({ code: "42501" });
    const [run] = await sql<{ id: string }[]>`select run_id as id from begin_purge_run(0)`;
    await expect(sql`select drop_due_usage_slice(${run!.id}, 1, 2)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select delete_due_rows(${run!.id}, 'api_keys', 1, 2, 1)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select delete_due_rows(${run!.id}, 'api_keys', 90, 9000, 1)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select delete_expired_claims(${run!.id}, 25, 2, 1)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select delete_expired_claims(${run!.id}, 33, 9, 1)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select delete_expired_exports(${run!.id}, 25, 2, 1)`).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select erase_due_account(${run!.id}, 0, 1)`).rejects.toMatchObject({ code: "EP409" });
    await sql.end();
  });
});
