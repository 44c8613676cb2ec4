import { randomUUID } from "node:crypto";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { openAccount } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addSlice, createPurge, purgeOnce, slices } from "../support/purge.ts";

let db: TestDatabase;
let due: string;

beforeEach(async () => {
  await db?.close();
  db = await createTestDatabase();
  due = await addSlice(db.sql, "95 days");
});
afterAll(() => db.close());

async function lastRunWas(age: string): Promise<void> {
  await db.sql`
    insert into purge_runs (state, early_days, started_at, finished_at)
    values ('finished', 0, now() - ${age}::interval, now() - ${age}::interval)
  `;
}

const states = async () => (await db.sql<{ state: string }[]>`select state from purge_runs order by started_at, id`).map(({ state }) => state);

describe("purge() after a gap", () => {
  test("deletes when the last run was less than 48 hours ago, and when there was none", async () => {
    await purgeOnce(db);
    expect(await slices(db.sql)).not.toContain(due);
    await db.sql`update purge_runs set finished_at = now() - interval '47 hours 59 minutes'`;
    const next = await addSlice(db.sql, "96 days");
    await purgeOnce(db);
    expect(await slices(db.sql)).not.toContain(next);
  });

  test("deletes nothing when it was longer ago, says so once, and still makes slices and gives money back (keep.*)", async () => {
    await lastRunWas("48 hours 1 minute");
    const account = await openAccount(db.sql, 100);
    await db.sql`update balances set leased_micro = 70 where account_id = ${account}`;
    await db.sql`
      insert into leases (account_id, replica_id, granted_micro, expires_at) values (${account}, ${randomUUID()}, 70, now())
    `;
    const [last] = await db.sql`select max(inhrelid::regclass::text) as name from pg_inherits where inhparent = 'usage_events'::regclass`;
    await db.sql.unsafe(`drop table ${last!.name}`);
    const closed = await openAccount(db.sql);
    await db.sql`update accounts set status = 'closed', closed_at = now() - interval '20 days' where id = ${closed}`;

    const purge = createPurge(db);
    for (let call = 0; call < 3; call += 1) expect(await purge.run()).toEqual({ status: 200, outcome: "gap" });
    expect(purge.lines[0]).toEqual({ at: "purge_skipped", reason: "gap" });
    expect(await states()).toEqual(["finished", "refused"]);
    expect(await slices(db.sql)).toEqual(expect.arrayContaining([due, last!.name]));
    expect(await db.sql`select from accounts where id = ${closed}`).toHaveLength(1);
    expect(await db.sql`select from leases`).toEqual([]);
  });

  test("deletes again once an operator has confirmed, which the evidence shows", async () => {
    await lastRunWas("3 days");
    const purge = createPurge(db);
    expect((await purge.run()).outcome).toBe("gap");
    await db.sql`select confirm_purge_gap('operator')`;
    expect((await purge.run()).outcome).toBe("finished");
    expect(await slices(db.sql)).not.toContain(due);
    expect(await db.sql`select confirmed_by, confirmed_at <= now() as confirmed from purge_runs where state = 'refused'`).toEqual([
      { confirmed_by: "operator", confirmed: true },
    ]);
  });

  test("a confirmation is for the gap that was refused: not in advance, not twice, not by anybody", async () => {
    const confirm = (actor: string) => db.sql`select confirm_purge_gap(${actor})`;
    await lastRunWas("3 days");
    await expect(confirm("operator")).rejects.toMatchObject({ code: "EP404" });
    await createPurge(db).run();
    await expect(confirm("somebody else")).rejects.toMatchObject({ code: "23514" });
    await confirm("operator");
    await expect(confirm("operator")).rejects.toMatchObject({ code: "EP404" });
    await db.sql`update purge_runs set confirmed_at = confirmed_at - interval '49 hours' where confirmed_at is not null`;
    expect((await createPurge(db).run()).outcome).toBe("gap");
  });

  test("the database itself lets a refused, an interrupted and a finished run delete nothing", async () => {
    const [run] = await db.sql<{ id: string }[]>`select run_id as id from begin_purge_run(0)`;
    const drop = () => db.sql`select drop_due_usage_slice(${run!.id}, 90, 2)`;
    const expire = () => db.sql`select delete_expired_claims(${run!.id}, 26, 2, 1)`;
    for (const state of ["refused", "interrupted", "finished"]) {
      await db.sql`update purge_runs set state = ${state}`;
      await expect(drop()).rejects.toMatchObject({ code: "EP409" });
      await expect(expire()).rejects.toMatchObject({ code: "EP409" });
      await expect(db.sql`select delete_expired_exports(${run!.id}, 26, 2, 1)`).rejects.toMatchObject({ code: "EP409" });
    }
    await db.sql`update purge_runs set state = 'running'`;
    await drop();
    expect(await slices(db.sql)).not.toContain(due);
  });
});
