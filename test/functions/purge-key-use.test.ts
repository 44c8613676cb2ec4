/** What keys have used of budgets and limits goes as soon as it counts no longer, and with the key. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addKey, openAccount } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { purgeOnce } from "../support/purge.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.close());

/** A key with a row of key_budgets so many months old, and rows of key_rates so many seconds. */
async function newKey({ monthsOld = 0, secondsOld = 0 }) {
  const accountId = await openAccount(db.sql, 1_000);
  const { keyId } = await addKey(db.sql, accountId);
  await db.sql`
    insert into key_budgets (key_id, month, spent_micro)
    values (${keyId}, date_trunc('month', now() at time zone 'UTC') - make_interval(months => ${monthsOld}), 7)
  `;
  await db.sql`
    insert into key_rates (key_id, unit, second, counts)
    select ${keyId}, unit, extract(epoch from now())::bigint - ${secondsOld}::integer, array_fill(1::bigint, array[61])
    from unnest(enum_range(null::rate_unit)) as unit
  `;
  return { accountId, keyId };
}

async function rowsOf(keyId: string): Promise<string[]> {
  const rows = await db.sql<{ name: string }[]>`
    select 'key_budgets' as name from key_budgets where key_id = ${keyId}
    union all select distinct 'key_rates' from key_rates where key_id = ${keyId}
  `;
  return rows.map(({ name }) => name);
}

test("purge() forgets key_budgets of a month that is over and key_rates of a minute that is (keep.usage)", async () => {
  const running = await newKey({});
  const over = await newKey({ monthsOld: 1, secondsOld: 121 });
  const counting = await newKey({ monthsOld: 1, secondsOld: 121 });
  await db.sql`update balances set leased_micro = 70 where account_id = ${counting.accountId}`;
  await db.sql`
    insert into leases (account_id, replica_id, key_id, granted_micro, expires_at)
    values (${counting.accountId}, ${randomUUID()}, ${counting.keyId}, 70, now() + interval '1 minute')
  `;
  await purgeOnce(db);
  expect(await rowsOf(running.keyId)).toEqual(["key_budgets", "key_rates"]);
  expect(await rowsOf(over.keyId)).toEqual([]);
  // A lease of the month that is over still counts towards it.
  expect(await rowsOf(counting.keyId)).toEqual(["key_budgets"]);
  const [row] = await db.sql<{ done: number }[]>`select done::int as done from purge_steps where step = 'key_use'`;
  // Of two keys each unit's row, and of one the month.
  const [units] = await db.sql<{ count: number }[]>`select cardinality(enum_range(null::rate_unit)) as count`;
  expect(row!.done).toBe(2 * units!.count + 1);
});

test("purge() erases both with the account (right.delete)", async () => {
  const { accountId, keyId } = await newKey({});
  await db.sql`update accounts set status = 'closed', closed_at = now() - interval '8 days' where id = ${accountId}`;
  await purgeOnce(db);
  expect(await rowsOf(keyId)).toEqual([]);
});
