import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAsOwner, databaseUrl, ensureDatabase, migrate, roleName, setRolePasswords } from "#infra/local/migrate.ts";
import { removePostgres, type RunningPostgres, startPostgres } from "#infra/local/postgres.ts";
import { connect } from "#shared/db.ts";

const database = "epithre";

// A server of its own: roles and their passwords belong to the whole server.
let folder: string;
let server: RunningPostgres;
let sql: ReturnType<typeof connectAsOwner>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "epithre-migrate-"));
  chmodSync(folder, 0o711);
  server = await startPostgres({ dataDir: folder, settings: { fsync: "off" } });
  sql = connectAsOwner(await ensureDatabase(server.url, database));
});

afterAll(async () => {
  await sql.end();
  await server.stop();
  await removePostgres(folder);
  rmSync(folder, { recursive: true, force: true });
});

describe("migrate()", () => {
  test("applies each migration once, in order, and finds nothing to do the next time", async () => {
    const applied = await migrate(sql);
    expect(applied.length).toBeGreaterThan(0);
    expect(applied).toEqual(applied.toSorted());
    expect(await migrate(sql)).toEqual([]);
    const recorded = await sql<{ name: string }[]>`select name from migrations order by name`;
    expect(recorded.map(({ name }) => name)).toEqual(applied);
  });

  test("makes the usage slices that are missing each time, so that a stack that was off for weeks can settle", async () => {
    const slices = () => sql`select inhrelid::regclass::text as name from pg_inherits where inhparent = 'usage_events'::regclass order by 1`;
    const before = await slices();
    for (const { name } of before) await sql`drop table ${sql(name)}`;
    await migrate(sql);
    expect(await slices()).toEqual(before);
  });

  test("can be run by two at once", async () => {
    const other = connectAsOwner(databaseUrl(server.url, database));
    await sql`drop schema public cascade`;
    await sql`create schema public`;
    const applied = await Promise.all([migrate(sql), migrate(other)]);
    expect(applied.flat().toSorted()).toEqual((await sql`select name from migrations`).map(({ name }) => name).toSorted());
    await other.end();
  });

  test("refuses to go on where an applied migration was edited since", async () => {
    await sql`update migrations set digest = 'another' where name = '0001_accounts.sql'`;
    await expect(migrate(sql)).rejects.toThrow("Cannot migrate: 0001_accounts.sql was edited after it was applied");
  });
});

describe("ensureDatabase()", () => {
  test("makes what is missing and keeps what is there", async () => {
    expect(await ensureDatabase(server.url, database)).toBe(databaseUrl(server.url, database));
    expect(await sql`select from migrations`).not.toHaveLength(0);
  });
});

describe("setRolePasswords()", () => {
  test("lets each function in with its own password only, whatever is in it", async () => {
    const password = `'; drop role epithre_owner; -- "\\ %L é`;
    const urlWith = (given: string) => databaseUrl(server.url, database, { user: roleName("notify"), password: given });
    await setRolePasswords(sql, { notify: password });
    const notify = connect({ url: urlWith(password) });
    expect(await notify`select current_user::text as me`).toEqual([{ me: "epithre_notify" }]);
    await notify.end();
    const stranger = connect({ url: urlWith("wrong") });
    await expect(stranger`select 1`).rejects.toMatchObject({ code: "28P01" });
    await stranger.end();
  });
});
