/** What purge does to accounts that nobody verified, to tokens that mail brought, and to addresses that nobody confirmed. */
import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { emailChangeHours, unverifiedDays } from "#shared/stored-data.ts";
import { uuidv7 } from "#shared/ids.ts";
import { addKey, openAccount, postEvent } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { purgeOnce } from "../support/purge.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.close());

const phc = `$argon2id$v=19$m=19456,t=2,p=1$${"A".repeat(22)}$${"A".repeat(43)}`;
const dayMs = 86_400_000;

/** Somebody who signed up this long ago, and has not verified the address. */
async function signedUp(ageMs: number, given: { verified?: boolean; password?: string | null } = {}): Promise<string> {
  const id = uuidv7(Date.now() - ageMs);
  await db.sql`insert into accounts (id) values (${id})`;
  await db.sql`insert into balances (account_id) values (${id})`;
  await db.sql`
    insert into persons (account_id, email, password_hash, email_verified_at)
    values (${id}, ${`${id}@example.com`}, ${given.password === undefined ? phc : given.password}, ${given.verified ? new Date() : null})
  `;
  return id;
}

const statusOf = async (id: string) => (await db.sql`select status from accounts where id = ${id}`)[0]?.status;

async function addToken(age: string): Promise<Buffer> {
  const accountId = await openAccount(db.sql);
  const hash = randomBytes(32);
  await db.sql`insert into account_tokens values (${hash}, ${accountId}, 'reset_password', now() - ${age}::interval)`;
  return hash;
}

const tokenExists = async (hash: Buffer) => (await db.sql`select from account_tokens where hash = ${hash}`).length === 1;

describe("purge()", () => {
  test("deletes account_tokens once they have expired, whatever the backups (keep.account)", async () => {
    const [due, young] = [await addToken("1 second"), await addToken("-1 minute")];
    await purgeOnce(db, { backupWindowDays: 7 });
    expect([await tokenExists(due), await tokenExists(young)]).toEqual([false, true]);
    expect(await db.sql`select done from purge_steps where step = 'account_tokens' and done > 0`).toEqual([{ done: 1n }]);
  });

  test("forgets an address that nobody confirmed within a day, and rewrites its file (keep.account, right.delete)", async () => {
    const word = randomBytes(8).toString("hex");
    const [due, young] = [await signedUp(0, { verified: true }), await signedUp(0, { verified: true })];
    const ask = (id: string, age: string) => db.sql`
      update persons set new_email = ${`${id === due ? word : "young"}@example.org`}, new_email_at = now() - ${age}::interval where account_id = ${id}
    `;
    await ask(due, `${emailChangeHours} hours`);
    await ask(young, `${emailChangeHours} hours -1 minute`);
    await purgeOnce(db);
    const left = await db.sql`select account_id as id, new_email as email, new_email_at is null as forgotten from persons where account_id in (${due}, ${young})`;
    expect(left.find(({ id }) => id === due)).toMatchObject({ email: null, forgotten: true });
    expect(left.find(({ id }) => id === young)).toMatchObject({ email: "young@example.org" });
    await db.sql`checkpoint`;
    const [file] = await db.sql`
      select position(convert_to(${word}, 'UTF8') in pg_read_binary_file(pg_relation_filepath(tableoid::regclass))) > 0 as shows from persons where account_id = ${due}
    `;
    expect(file!.shows).toBe(false);
  });

  test("closes accounts whose address nobody verified in time, and erases them as any other (keep.account, right.delete)", async () => {
    const lateMs = unverifiedDays * dayMs;
    const [due, young] = [await signedUp(lateMs + 60_000), await signedUp(lateMs - 60_000)];
    const [verified, operators] = [await signedUp(lateMs * 2, { verified: true }), await signedUp(lateMs * 2, { password: null })];
    const [withKey, withMoney] = [await signedUp(lateMs * 2), await signedUp(lateMs * 2)];
    await addKey(db.sql, withKey);
    await postEvent(db.sql, withMoney, { amountMicro: 1 });
    await purgeOnce(db);
    expect(await Promise.all([due, young, verified, operators, withKey, withMoney].map(statusOf))).toEqual(["closed", ...Array(5).fill("active")]);
    await db.sql`update accounts set closed_at = now() - interval '7 days 1 minute' where id = ${due}`;
    await purgeOnce(db);
    expect(await statusOf(due)).toBeUndefined();
    expect(await db.sql`select from persons where account_id = ${due}`).toHaveLength(0);
  });

  test("cannot be asked to do so sooner, nor without a run (keep.account)", async () => {
    const [run] = await db.sql<{ id: string }[]>`select run_id as id from begin_purge_run(0)`;
    await expect(db.sql`select forget_unconfirmed_emails(${run!.id}, 23, 10)`).rejects.toMatchObject({ code: "EP409" });
    await expect(db.sql`select close_unverified_accounts(${run!.id}, 0, 10)`).rejects.toMatchObject({ code: "EP409" });
    for (const step of [
      db.sql`select delete_expired_tokens(${randomUUID()}, 10)`,
      db.sql`select forget_unconfirmed_emails(${randomUUID()}, 24, 10)`,
      db.sql`select close_unverified_accounts(${randomUUID()}, 7, 10)`,
    ]) await expect(step).rejects.toMatchObject({ code: "EP409" });
  });

  test("keeps no sample of an address in the statistics of an index, which would outlive the row (keep.account)", async () => {
    await db.sql`insert into accounts (id) select uuidv7() from generate_series(1, 50)`;
    await db.sql`insert into persons (account_id, email) select id, id || '@example.net' from accounts a where not exists (select from persons p where p.account_id = a.id)`;
    await db.sql`analyze`;
    const sampled = await db.sql<{ name: string }[]>`
      select distinct c.relname as name from pg_statistic s join pg_class c on c.oid = s.starelid
      join pg_attribute a on a.attrelid = s.starelid and a.attnum = s.staattnum
      where c.relname like 'persons%' and a.attname not in ('account_id', 'email_verified_at', 'new_email_at')
    `;
    expect(sampled.map(({ name }) => name)).toEqual([]);
    const found = await db.sql`select from persons where lower(email) = 'nobody@example.net'`;
    expect(found).toHaveLength(0);
  });
});
