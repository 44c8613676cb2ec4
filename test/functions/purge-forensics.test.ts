/**
 * What is left in the files of a Postgres of its own after purge: heap, indexes, TOAST, statistics and the write-ahead
 * log, byte by byte. Nothing of tables is asked here.
 */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { filesThatHold, formsOf, formsOfId } from "../support/data-files.ts";
import { addPerson, type Person } from "../support/persons.ts";
import { purgeOnce } from "../support/purge.ts";
import { type OwnDatabase, startOwnDatabase } from "../support/own-database.ts";

let db: OwnDatabase;
let currentSlice: string;

beforeAll(async () => {
  db = await startOwnDatabase();
  const [row] = await db.sql<{ name: string }[]>`select usage_slice_name(now()) as name`;
  currentSlice = row!.name;
}, 120_000);
afterAll(() => db.stop());

function formsOfPerson({ accountId, keyId, alias, words, keyHash }: Person): Record<string, Buffer[]> {
  const ofWords = Object.entries(words).map(([name, word]) => [name, formsOf(word)]);
  return {
    ...Object.fromEntries(ofWords),
    keyHash: formsOf(Buffer.from(keyHash, "hex")),
    accountId: formsOfId(accountId),
    keyId: formsOfId(keyId),
    alias: formsOfId(alias),
  };
}

/** The files of tables with those of their indexes and TOAST. */
async function filesOf(...tables: string[]): Promise<string[]> {
  const rows = await db.sql<{ path: string }[]>`
    select pg_relation_filepath(file) as path from pg_class c
    cross join lateral (
      select c.oid as file union all select c.reltoastrelid where c.reltoastrelid <> 0
      union all select indexrelid from pg_index where indrelid in (c.oid, c.reltoastrelid)
    ) as files
    where c.relnamespace = 'public'::regnamespace and c.relname in ${db.sql(tables)}
  `;
  return rows.map(({ path }) => path);
}

const found = async (person: Person) => {
  await db.sql`checkpoint`;
  return filesThatHold(db.dataDirectory, formsOfPerson(person));
};

/** Billing events and the sum of all entries, which is zero. */
async function books() {
  const events = await db.sql`select account_id, kind, amount_micro from billing_events order by id`;
  const [entries] = await db.sql<{ sum: string }[]>`select sum(amount_micro)::text from ledger_entries`;
  expect(entries).toEqual({ sum: "0" });
  return [...events];
}

/** As autovacuum does in time. */
const analyze = () => db.sql`analyze`;

describe("the data files", () => {
  test("hold nothing of an erased person but the account's id in the books, and the ledger is whole (right.delete, keep.account, keep.*)", async () => {
    const person = await addPerson(db.sql, currentSlice);
    const others = await Promise.all(Array.from({ length: 30 }, () => addPerson(db.sql, currentSlice)));
    await db.sql`update persons set name = 'Corrected' where account_id = ${person.accountId}`;
    await db.sql`update accounts set status = 'closed', closed_at = now() - interval '8 days' where id = ${person.accountId}`;
    await analyze();
    const credited = await books();
    const before = await found(person);
    // The search finds: each is in a file of the tables, and in the write-ahead log.
    for (const [name, files] of Object.entries(before)) {
      expect(files.some((file) => file.startsWith("base/")), `${name} in tables`).toBe(true);
      expect(files.some((file) => file.startsWith("pg_wal/")), `${name} in the log`).toBe(true);
    }

    await purgeOnce(db);
    await analyze();
    const { accountId, ...gone } = await found(person);
    expect(gone).toEqual(Object.fromEntries(Object.keys(gone).map((name) => [name, []])));
    const kept = await filesOf("billing_events", "ledger_entries", "invoices");
    expect(accountId!.filter((file) => !kept.includes(file))).toEqual([]);
    expect(accountId).not.toEqual([]);

    expect(await books()).toEqual(credited);
    for (const { words } of others) expect(await db.sql`select from api_keys where name = ${words.keyName}`).toHaveLength(1);
  }, 120_000);

  test("hold nothing of a key that was revoked 90 days ago, while its account lives (keep.key)", async () => {
    const { accountId, keyId, words, keyHash } = await addPerson(db.sql, currentSlice);
    await db.sql`update api_keys set revoked_at = now() - interval '90 days' where id = ${keyId}`;
    await analyze();
    await purgeOnce(db);
    await db.sql`checkpoint`;
    const wanted = { name: formsOf(words.keyName), prefix: formsOf(words.keyPrefix), hash: formsOf(Buffer.from(keyHash, "hex")), email: formsOf(words.email) };
    const { email, ...gone } = filesThatHold(db.dataDirectory, wanted);
    expect(gone).toEqual({ name: [], prefix: [], hash: [] });
    expect(email).not.toEqual([]);
    expect(await db.sql`select from accounts where id = ${accountId}`).toHaveLength(1);
  }, 60_000);

  test("the write-ahead log ages out by itself: segments that are over are removed, never taken for new ones (keep.*)", async () => {
    const settings = await db.sql<{ name: string; setting: string }[]>`
      select name, setting from pg_settings where name in ('wal_recycle', 'wal_init_zero', 'checkpoint_timeout') order by name
    `;
    expect(settings.map(({ name, setting }) => [name, setting])).toEqual([["checkpoint_timeout", "300"], ["wal_init_zero", "on"], ["wal_recycle", "off"]]);
    const word = randomUUID();
    await db.sql`select pg_logical_emit_message(true, 'word', ${word})`;
    await db.sql`select pg_switch_wal()`;
    expect(filesThatHold(db.dataDirectory, { word: formsOf(word) }).word).not.toEqual([]);
    await db.sql`checkpoint`;
    expect(filesThatHold(db.dataDirectory, { word: formsOf(word) }).word).toEqual([]);
  }, 60_000);
});
