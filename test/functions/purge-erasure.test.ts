import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addKey, openAccount } from "../support/accounts.ts";
import { addClaim } from "../support/claims.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addInvoices } from "../support/invoices.ts";
import { addExport, addUsage, clockThatEndsRuns, createPurge, purgeOnce } from "../support/purge.ts";

let db: TestDatabase;
let currentSlice: string;

beforeAll(async () => {
  db = await createTestDatabase();
  const [row] = await db.sql<{ name: string }[]>`select usage_slice_name(now()) as name`;
  currentSlice = row!.name;
});
afterAll(() => db.close());

interface Person {
  accountId: string;
  keyId: string;
  alias: string;
  /** Words that stand for the person wherever they are found: ids, address, name. */
  traces: string[];
}

/** Somebody with a row in each table that can link to an account. */
async function addPerson(usageEvents = 3): Promise<Person> {
  const accountId = await openAccount(db.sql, 1_000_000);
  const { keyId } = await addKey(db.sql, accountId);
  const name = `Person ${randomBytes(8).toString("hex")}`;
  const email = `${randomBytes(8).toString("hex")}@example.com`;
  await db.sql`insert into persons (account_id, email, name) values (${accountId}, ${email}, ${name})`;
  await db.sql`insert into outbox (account_id, template) values (${accountId}, 'welcome')`;
  await db.sql`insert into account_tokens values (${randomBytes(32)}, ${accountId}, 'reset_password', now() + interval '1 hour')`;
  await db.sql`insert into balance_alerts (account_id, threshold_micro) values (${accountId}, 1)`;
  await db.sql`insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${accountId}, 'left', 10, now() + interval '1 hour')`;
  await db.sql`update balances set leased_micro = 70 where account_id = ${accountId}`;
  await db.sql`
    insert into leases (account_id, replica_id, granted_micro, expires_at)
    values (${accountId}, ${randomUUID()}, 70, now() + interval '1 minute')
  `;
  await addClaim(db.sql, accountId, "1 hour");
  await addInvoices(db.sql, accountId);
  await addExport(db.sql, accountId, "1 hour");
  await addUsage(db.sql, currentSlice, accountId, keyId, usageEvents);
  const [row] = await db.sql<{ alias: string }[]>`select audit_alias as alias from accounts where id = ${accountId}`;
  await db.sql`insert into audit_log (actor, action, subject_alias) values ('operator', 'account_suspended', ${row!.alias})`;
  return { accountId, keyId, alias: row!.alias, traces: [accountId, keyId, name, email] };
}

async function close(accountId: string, age: string): Promise<void> {
  await db.sql`update accounts set status = 'closed', closed_at = now() - ${age}::interval where id = ${accountId}`;
}

/** The tables in which any column of any row shows one of these words; slices and parts count as their table. */
async function tablesThatShow(words: string[]): Promise<string[]> {
  const tables = await db.sql<{ name: string }[]>`
    select oid::regclass::text as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
  `;
  const found = tables.map(async ({ name }) => {
    const rows = await db.sql`
      select from ${db.sql(name)} as t where exists (select from unnest(${words}::text[]) as word where t::text like '%' || word || '%') limit 1
    `;
    return rows.length > 0 ? [name] : [];
  });
  return (await Promise.all(found)).flat().sort();
}

async function tablesWithAccounts(): Promise<string[]> {
  const rows = await db.sql<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attname = 'account_id' and not a.attisdropped
  `;
  return rows.map(({ name }) => name);
}

/** Whether the file of a table holds these bytes, in rows or in what deleted rows left. */
async function fileShows(table: string, word: string): Promise<boolean> {
  await db.sql`checkpoint`;
  const [row] = await db.sql<{ shows: boolean }[]>`
    select position(convert_to(${word}, 'UTF8') in pg_read_binary_file(pg_relation_filepath(${table}::regclass))) > 0 as shows
  `;
  return row!.shows;
}

async function partOf(accountId: string): Promise<string> {
  const [row] = await db.sql<{ part: string }[]>`select tableoid::regclass::text as part from persons where account_id = ${accountId}`;
  return row!.part;
}

/** Tables that may still name the account after its erasure (keep.billing). */
const keptForTheBooks = ["billing_events", "invoices", "ledger_entries"];

const invoiceStates = async (accountId: string) =>
  (await db.sql<{ state: string }[]>`select state from invoices where account_id = ${accountId} order by state`).map(({ state }) => state);

const accounts = async () => (await db.sql<{ id: string }[]>`select id from accounts`).map(({ id }) => id);

describe("purge()", () => {
  test("erases a closed account with all that is linked to it, billing events excepted (right.delete, keep.account)", async () => {
    const person = await addPerson();
    const other = await addPerson();
    // Tables that can name an account but are not filled above would not be tested here.
    expect(await tablesThatShow(person.traces)).toEqual(["accounts", ...(await tablesWithAccounts())].sort());
    await close(person.accountId, "8 days");

    const { lines } = await purgeOnce(db);
    expect(lines.at(-1)).toMatchObject({ at: "purge_finished", erased: 1 });
    expect(await tablesThatShow(person.traces)).toEqual(keptForTheBooks);
    // What nobody paid is no billing event; of the paid one the id of an account is left that leads to nobody.
    expect(await invoiceStates(person.accountId)).toEqual(["paid"]);
    expect(await invoiceStates(other.accountId)).toEqual(["open", "paid", "cancelled"]);
    expect(await tablesThatShow(other.traces)).toEqual(["accounts", ...(await tablesWithAccounts())].sort());
  });

  test("leaves audit rows that have forgotten whom they were about, and are else as they were (keep.audit, right.delete)", async () => {
    const { accountId, alias } = await addPerson();
    const other = await addPerson();
    const chained = () => db.sql`
      select id, at, actor, action, operator_id, object_id, reason, subject_commitment from audit_log where actor <> 'system' or object_id is null order by id
    `;
    const before = await chained();
    await close(accountId, "8 days");
    await purgeOnce(db);
    expect(await tablesThatShow([alias])).toEqual([]);
    expect(await tablesThatShow([other.alias])).toEqual(["accounts", "audit_log"]);
    expect(await chained()).toEqual(before);
    expect(await db.sql`select from audit_log where subject_alias is null and subject_salt is not null`).toHaveLength(0);
  });

  test("erases after 7 days, so that backups are rid of it within 30, and no open or suspended account (right.delete)", async () => {
    const [due, young, suspended, active] = await Promise.all([addPerson(), addPerson(), addPerson(), addPerson()]);
    await close(due.accountId, "7 days 1 minute");
    await close(young.accountId, "6 days 23 hours 59 minutes");
    await db.sql`update accounts set status = 'suspended' where id = ${suspended.accountId}`;
    await purgeOnce(db, { backupWindowDays: 20 });
    const left = await accounts();
    expect(left).not.toContain(due.accountId);
    expect(left).toEqual(expect.arrayContaining([young.accountId, suspended.accountId, active.accountId]));
  });

  test("erases an account with many usage events piece by piece, also when each run ends after one (right.delete, keep.usage)", async () => {
    const person = await addPerson(3_500);
    await close(person.accountId, "8 days");
    const countUsage = async () => {
      const [row] = await db.sql<{ count: bigint }[]>`select count(*) from usage_events where account_id = ${person.accountId}`;
      return Number(row!.count);
    };
    const counts = [await countUsage()];
    for (let looks = 2; (await accounts()).includes(person.accountId); looks += 1) {
      await createPurge(db, { clock: clockThatEndsRuns(looks) }).run();
      counts.push(await countUsage());
    }
    expect([...new Set(counts)]).toEqual(expect.arrayContaining([3_500, 0]));
    expect(new Set(counts).size).toBeGreaterThan(2);
    expect(await tablesThatShow(person.traces)).toEqual(keptForTheBooks);
  });

  test("writes the file of erased or corrected persons anew, so that no byte stays in it (right.delete, keep.account)", async () => {
    const { accountId, traces } = await addPerson();
    const corrected = await addPerson();
    const [part, partOfCorrected] = [await partOf(accountId), await partOf(corrected.accountId)];
    const name = traces[2]!;
    const formerName = corrected.traces[2]!;
    await db.sql`update persons set name = 'Other' where account_id = ${corrected.accountId}`;
    await close(accountId, "8 days");
    expect(await fileShows(part, name)).toBe(true);
    expect(await fileShows(partOfCorrected, formerName)).toBe(true);
    await purgeOnce(db);
    expect(await fileShows(part, name)).toBe(false);
    expect(await fileShows(partOfCorrected, formerName)).toBe(false);
    expect(await db.sql`select from person_rewrites`).toEqual([]);
  });

  test("comes back to a file in which an old snapshot still needs what was erased (right.delete)", async () => {
    const { accountId, traces } = await addPerson();
    const part = await partOf(accountId);
    const reader = await db.sql.reserve();
    await reader`begin isolation level repeatable read`;
    await reader`select count(*) from models`;
    await close(accountId, "8 days");
    await purgeOnce(db);
    expect(await accounts()).not.toContain(accountId);
    expect(await fileShows(part, traces[2]!)).toBe(true);
    const [run] = await db.sql`select steps_left from purge_runs order by started_at desc limit 1`;
    expect(run).toEqual({ steps_left: 1 });
    await reader`rollback`;
    reader.release();
    await purgeOnce(db);
    expect(await fileShows(part, traces[2]!)).toBe(false);
  });
});
