/**
 * Where each limit lies, to the second. Within one transaction the database's clock stands still, so rows can be put
 * exactly on either side; the functions are those that purge calls.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sql } from "#shared/db.ts";
import { claimHours, earlyDays, erasureGraceDays, exportHours, limitHours, liveLimitDays, purgeLeadHours, retention } from "#shared/stored-data.ts";
import { addClaim } from "../support/claims.ts";
import { addExport } from "../support/purge.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addUnpaidInvoice } from "../support/invoices.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.close());

/** Days that backups go back: none are kept, and a week of them. */
const windows = [null, 7];

class RolledBack extends Error {}

/** Runs `work` in a transaction with a run of purge in it, which leaves nothing. */
async function inRun(window: number | null, work: (sql: Sql, runId: string) => Promise<void>): Promise<void> {
  const transaction = db.sql.begin(async (sql) => {
    const [run] = await sql<{ id: string }[]>`select run_id as id from begin_purge_run(${earlyDays(window)})`;
    await work(sql as unknown as Sql, run!.id);
    throw new RolledBack();
  });
  await transaction.catch((thrown: unknown) => {
    if (!(thrown instanceof RolledBack)) throw thrown;
  });
}

/** A row of each table whose time is that long ago; answers its id. */
const rows: Record<string, (sql: Sql, age: string) => Promise<string>> = {
  async api_keys(sql, age) {
    const accountId = await openAccount(sql);
    const [row] = await sql<{ id: string }[]>`
      insert into api_keys (account_id, hash, prefix, name, scopes, revoked_at)
      values (${accountId}, ${randomBytes(32)}, 'ep_000000000', 'old', array['chat'], now() - ${age}::interval) returning id
    `;
    return row!.id;
  },
  async outbox(sql, age) {
    const accountId = await openAccount(sql);
    const [row] = await sql<{ id: string }[]>`
      insert into outbox (account_id, template, created_at) values (${accountId}, 'welcome', now() - ${age}::interval) returning id
    `;
    return row!.id;
  },
  async billing_events(sql, age) {
    const [row] = await sql<{ id: string }[]>`
      -- Without entries: the ledger checks its sums at the end of a transaction, which never comes here.
      insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key, created_at)
      values (${randomUUID()}, 'top_up', 5, 'bank_transfer', ${randomUUID()}, now() - ${age}::interval) returning id
    `;
    return row!.id;
  },
  async operators(sql, age) {
    const [row] = await sql<{ id: string }[]>`
      insert into operators (name, disabled_at) values (${`o${randomBytes(8).toString("hex")}`}, now() - ${age}::interval) returning id
    `;
    return row!.id;
  },
  invoices: (sql, age) => addUnpaidInvoice(sql, age),
  async purge_runs(sql, age) {
    const [row] = await sql<{ id: string }[]>`
      insert into purge_runs (state, early_days, started_at) values ('interrupted', 0, now() - ${age}::interval) returning id
    `;
    return row!.id;
  },
};

async function openAccount(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`insert into accounts default values returning id`;
  return row!.id;
}

const remaining = async (sql: Sql, table: string, ids: string[]) => {
  const found = await sql<{ id: string }[]>`select id::text as id from ${sql(table)} where id::text in ${sql(ids)}`;
  return ids.map((id) => found.some((row) => row.id === id));
};

const cases = windows.flatMap((window) => retention.filter(({ how }) => how === "delete").map((row) => ({ ...row, window })));

/** What deletes up to a hundred due rows of a table. */
const deleteDue = (sql: Sql, runId: string, table: string, live: number) =>
  table === "operators"
    ? sql`select delete_due_operators(${runId}, ${live}, ${purgeLeadHours}, 100)`
    : sql`select delete_due_rows(${runId}, ${table}::purge_step, ${live}, ${purgeLeadHours}, 100)`;

describe("limits of purge", () => {
  test.each(cases)("purge keeps $table to the last second, with a backup window of $window (keep.*)", async ({ table, limit, window }) => {
    await inRun(window, async (sql, runId) => {
      const live = liveLimitDays(limit, window);
      const ages = [`${live} days -${purgeLeadHours} hours`, `${live} days -${purgeLeadHours} hours -1 second`];
      const ids = [await rows[table]!(sql, ages[0]!), await rows[table]!(sql, ages[1]!)];
      await deleteDue(sql, runId, table, live);
      expect(await remaining(sql, table, ids)).toEqual([false, true]);
    });
  });

  test.each(windows)("delete_due_audit_days() takes a day of audit_log at its first moment that is due, with a window of %s (keep.audit)", async (window) => {
    const { limit } = retention.find(({ how }) => how === "delete_days")!;
    await inRun(window, async (sql, runId) => {
      const live = liveLimitDays(limit, window);
      // The day in which the limit lies, to its last moment, and the first moment of the next.
      const rows = await sql<{ id: string }[]>`
        insert into audit_log (at, actor, action)
        select date_trunc('day', now() - make_interval(days => ${live}, hours => ${-purgeLeadHours}), 'UTC') + after, 'system', 'key_created'
        from unnest(array[interval '0', interval '23 hours 59 minutes 59.999999 seconds', interval '24 hours']) as after
        returning id::text
      `;
      const deleted = async () => (await sql`select delete_due_audit_days(${runId}, ${live}, ${purgeLeadHours}, 1) as deleted`)[0]!.deleted;
      expect([await deleted(), await deleted(), await deleted()]).toEqual([1, 1, 0]);
      expect(await remaining(sql, "audit_log", rows.map(({ id }) => id))).toEqual([false, false, true]);
    });
  });

  test.each(["operator_sessions", "operator_invites"])("delete_expired_logins() takes %s as soon as they have expired (keep.audit)", async (table) => {
    await inRun(null, async (sql, runId) => {
      const operator = await rows.operators!(sql, "0 days");
      for (const [index, ageS] of [0, -1].entries()) {
        await sql`
          insert into ${sql(table)} ${sql({ digest: Buffer.alloc(32, index), operator_id: operator, ...(table === "operator_invites" ? { replaces: false } : {}), expires_at: new Date(0) })}
        `;
        await sql`update ${sql(table)} set expires_at = now() - make_interval(secs => ${ageS}) where digest = ${Buffer.alloc(32, index)}`;
      }
      await sql`select delete_expired_logins(${runId}, ${table}::purge_step, 100)`;
      const left = await sql<{ first: number }[]>`select get_byte(digest, 0) as first from ${sql(table)}`;
      expect(left.map(({ first }) => first)).toEqual([1]);
    });
  });

  test.each(windows)("delete_expired_claims() takes idempotency_claims once they no longer count, with a window of %s (keep.usage)", async (window) => {
    const { limit } = retention.find(({ table, how }) => table === "idempotency_claims" && how === "expire")!;
    await inRun(window, async (sql, runId) => {
      const accountId = await openAccount(sql);
      const ids = [await addClaim(sql, accountId, `${claimHours} hours`), await addClaim(sql, accountId, `${claimHours} hours -1 second`)];
      await sql`select delete_expired_claims(${runId}, ${limitHours(limit)}, ${purgeLeadHours}, 100)`;
      const left = await sql<{ id: string }[]>`select request_id as id from idempotency_claims where account_id = ${accountId}`;
      expect(left.map(({ id }) => id)).toEqual([ids[1]]);
    });
  });

  test.each(windows)("delete_expired_exports() takes usage_exports once they are over, with a window of %s (keep.usage)", async (window) => {
    const { limit } = retention.find(({ table, how }) => table === "usage_exports" && how === "expire")!;
    await inRun(window, async (sql, runId) => {
      const accountId = await openAccount(sql);
      const ids = [await addExport(sql, accountId, `${exportHours} hours`), await addExport(sql, accountId, `${exportHours} hours -1 second`)];
      await sql`select delete_expired_exports(${runId}, ${limitHours(limit)}, ${purgeLeadHours}, 100)`;
      const left = await sql<{ id: string }[]>`select id from usage_exports where account_id = ${accountId}`;
      expect(left.map(({ id }) => id)).toEqual([ids[1]]);
    });
  });

  test("erase_due_account() waits to the last second of the grace (right.delete)", async () => {
    await inRun(null, async (sql, runId) => {
      const ids = [await openAccount(sql), await openAccount(sql)];
      const ages = [`${erasureGraceDays} days`, `${erasureGraceDays} days -1 second`];
      for (const [index, id] of ids.entries()) {
        await sql`update accounts set status = 'closed', closed_at = now() - ${ages[index]!}::interval where id = ${id}`;
      }
      await sql`select erase_due_account(${runId}, ${erasureGraceDays}, 100)`;
      await sql`select erase_due_account(${runId}, ${erasureGraceDays}, 100)`;
      expect(await remaining(sql, "accounts", ids)).toEqual([false, true]);
    });
  });

  test.each(windows)("drop_due_usage_slice() takes a slice at the moment that its first event is due, with a window of %s (keep.usage)", async (window) => {
    const { limit } = retention.find(({ how }) => how === "drop_slice")!;
    await inRun(window, async (sql, runId) => {
      const live = liveLimitDays(limit, window);
      const [row] = await sql<{ seconds: number }[]>`
        select extract(epoch from now() - purge_cutoff(${runId}, 'usage_events', ${live}, ${purgeLeadHours}))::float8 as seconds
      `;
      expect(row!.seconds).toBe(live * 86_400 - purgeLeadHours * 3_600);
      // A slice begins with an hour: the last one that is due begins in the hour of the cutoff, the next is not due.
      const names = [];
      for (const hours of [0, 1]) {
        const [slice] = await sql<{ name: string; from: string; to: string }[]>`
          with slice as (
            select date_trunc('hour', now() - ${`${live} days -${purgeLeadHours} hours`}::interval, 'UTC') + make_interval(hours => ${hours}) as start
          )
          select
            'usage_events_' || to_char(start at time zone 'UTC', 'YYYYMMDDHH24') as name,
            uuidv7_floor(start)::text as from, uuidv7_floor(start + interval '1 hour')::text as to
          from slice
        `;
        await sql.unsafe(`create table ${slice!.name} partition of usage_events for values from ('${slice!.from}') to ('${slice!.to}')`);
        names.push(slice!.name);
      }
      while ((await sql`select drop_due_usage_slice(${runId}, ${live}, ${purgeLeadHours}) as dropped`)[0]!.dropped === 1);
      const left = await sql<{ name: string }[]>`select relname as name from pg_class where relname in ${sql(names)}`;
      expect(left.map(({ name }) => name)).toEqual([names[1]]);
    });
  });
});
