import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { promised, type PromiseId } from "#shared/policy.ts";
import { columns, staffTables } from "#shared/stored-data.ts";
import { accountTables } from "../../../functions/accounts/copy.ts";
import { createHandler } from "../../../functions/accounts/handler.ts";
import { copyPage } from "../../../functions/accounts/queries.ts";
import { addKey, addModel, postEvent } from "../../support/accounts.ts";
import { type AccountsService, type Someone, startAccounts } from "../../support/accounts-service.ts";
import { addClaim } from "../../support/claims.ts";
import { addUsage } from "../../support/purge.ts";

let service: AccountsService;
let slice: string;
/** The columns that the database has, by table. */
let catalogue: Map<string, string[]>;
beforeAll(async () => {
  service = await startAccounts();
  const { sql } = service.db;
  await addModel(sql, "test-chat");
  slice = (await sql<{ name: string }[]>`select usage_slice_name(now()) as name`)[0]!.name;
  const found = await sql<{ table: string; names: string[] }[]>`
    select c.relname as table, array_agg(a.attname::text) as names
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
    group by c.relname
  `;
  catalogue = new Map(found.map(({ table, names }) => [table, names]));
});
afterAll(() => service.close());
beforeEach(() => service.nextHour());

interface Copy {
  account_id: string;
  tables: { table: string; categories: { id: PromiseId; columns: string[]; promise: string }[]; kept: { amount: number; unit: string }[]; rows: any[] }[];
}

async function copyOf({ session }: { session: string }): Promise<Copy> {
  const { status, body } = await service.ask("/v1/account/data", { session });
  expect(status).toBe(200);
  return body;
}

const rowsOf = (copy: Copy, table: string) => copy.tables.find((each) => each.table === table)!.rows;

/** Somebody with a row in each table that knows of accounts, as of today. */
async function newPersonEverywhere(): Promise<Someone> {
  const { sql } = service.db;
  const someone = await service.newPerson();
  const { accountId } = someone;
  const { keyId } = await addKey(sql, accountId);
  await postEvent(sql, accountId, { amountMicro: "9007199254740993" as unknown as bigint });
  await sql`insert into outbox (account_id, template) values (${accountId}, 'welcome')`;
  await sql`insert into leases (account_id, replica_id, granted_micro, expires_at) values (${accountId}, ${randomUUID()}, 0, now())`;
  await sql`insert into key_budgets values (${keyId}, '2026-11-01', 7)`;
  await sql`insert into key_rates values (${keyId}, 'requests', 1, array_fill(0::bigint, array[61]))`;
  await sql`insert into account_tokens values (sha256(${accountId}::text::bytea), ${accountId}, 'reset_password', now())`;
  await sql`insert into balance_alerts (account_id, threshold_micro) values (${accountId}, 1)`;
  await sql`select request_top_up(${accountId}, 50000, gen_random_uuid(), 1100, 14, 5, 5)`;
  await addClaim(sql, accountId, "1 hour");
  await addUsage(sql, slice, accountId, keyId, 2);
  await sql`insert into audit_log (actor, action, subject_alias) select 'system', 'account_suspended', audit_alias from accounts where id = ${accountId}`;
  return someone;
}

describe("GET /v1/account/data", () => {
  test("has every column of every table about the account, in its category, with its limit (right.access, keep.closed)", async () => {
    const someone = await newPersonEverywhere();
    const copy = await copyOf(someone);
    // What the policy does not call another's business is in it: a table that is new is here, or in the category of none.
    const withoutPerson = Object.keys(columns).filter((table) => "none" in columns[table]! && Object.keys(columns[table]!).length === 1);
    expect(copy.tables.map(({ table }) => table).sort()).toEqual([...catalogue.keys()].filter((table) => ![...withoutPerson, ...staffTables].includes(table)).sort());
    // What is about operators is linked to no account, whatever it is called.
    for (const table of staffTables) expect(catalogue.get(table)!.filter((name) => /account_id|key_id|alias/.test(name))).toEqual([]);
    for (const { table, categories, kept, rows } of copy.tables) {
      expect([table, ...categories.flatMap((category) => category.columns).sort()]).toEqual([table, ...catalogue.get(table)!.sort()]);
      for (const { id, promise } of categories) expect(promise).toBe(promised(id).promise);
      expect([table, kept.length > 0, kept.every(({ amount, unit }) => amount > 0 && /hours|days|years/.test(unit))]).toEqual([table, true, true]);
      for (const row of rows) expect([table, ...Object.keys(row).sort()]).toEqual([table, ...catalogue.get(table)!.sort()]);
    }
    const known = ["accounts", "persons", "account_tokens", "outbox", "api_keys", "usage_events", "billing_events", "ledger_entries", "balances", "balance_alerts", "invoices", "leases", "key_budgets", "key_rates", "idempotency_claims", "audit_log"];
    for (const table of known) expect([table, rowsOf(copy, table).length > 0]).toEqual([table, true]);
    expect(rowsOf(copy, "persons")).toMatchObject([{ email: someone.email, name: "Someone" }]);
    expect(rowsOf(copy, "usage_events")).toHaveLength(2);
    // The trail of what was done with the account.
    expect(rowsOf(copy, "audit_log")).toMatchObject([{ actor: "system", action: "account_suspended" }]);
  });

  test("can be read of every table that the policy puts to a person, and of no other", async () => {
    const { accountId } = await service.newPerson();
    for (const table of catalogue.keys()) {
      const read = service.parts.database.run((sql) => copyPage(sql, accountId, table, null, 1));
      if (accountTables.includes(table)) await expect(read).resolves.toBeInstanceOf(Array);
      else if (!catalogue.get(table)!.includes("account_id")) await expect(read).rejects.toThrow();
    }
    for (const table of ["pg_authid", "persons_0", "persons; drop table persons", ""]) {
      await expect(service.parts.database.run((sql) => copyPage(sql, accountId, table, null, 1))).rejects.toThrow("Cannot copy");
    }
  });

  test("has nothing of another account, and is for its session alone", async () => {
    const [someone, other] = [await newPersonEverywhere(), await newPersonEverywhere()];
    const text = JSON.stringify(await copyOf(someone));
    const [alias] = await service.db.sql<{ alias: string }[]>`select audit_alias as alias from accounts where id = ${other.accountId}`;
    const keys = await service.db.sql<{ id: string }[]>`select id from api_keys where account_id = ${other.accountId}`;
    for (const word of [other.accountId, other.email, alias!.alias, ...keys.map(({ id }) => id)]) expect(text).not.toContain(word);
    expect((await service.ask("/v1/account/data")).body.error.code).toBe("invalid_session");
  });

  test("tells of the password how it is hashed, and keeps to itself what it could be guessed from (sec.password)", async () => {
    const someone = await service.newPerson();
    expect(rowsOf(await copyOf(someone), "persons")[0].password_hash).toBe("$argon2id$v=19$m=19456,t=2,p=1");
  });

  test("is whole where there are many rows, each once, and amounts keep every digit", async () => {
    const someone = await newPersonEverywhere();
    const { sql } = service.db;
    await addUsage(sql, slice, someone.accountId, someone.accountId, 1_300);
    await sql`
      insert into idempotency_claims (account_id, digest, request_id, key_id, lease_id, model_id, endpoint, price_version, claimed_at, runs_until)
      select ${someone.accountId}, sha256(n::text::bytea), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'completions', 1, now(), now()
      from generate_series(1, 999) as n
    `;
    const response = await fetch(`${service.url}/v1/account/data`, { headers: { authorization: `Bearer ${someone.session}` } });
    const text = await response.text();
    const copy = JSON.parse(text) as Copy;
    for (const [table, key, count] of [["usage_events", "id", 1_302], ["idempotency_claims", "digest", 1_000]] as const) {
      expect([table, new Set(rowsOf(copy, table).map((row) => row[key])).size, rowsOf(copy, table).length]).toEqual([table, count, count]);
    }
    expect(text).toContain('"amount_micro": 9007199254740993');
    expect(response.headers.get("content-disposition")).toContain("attachment");
  });

  test("breaks off where the database fails on the way: a clean end would say that this was all", async () => {
    const someone = await newPersonEverywhere();
    let pages = 0;
    const database = {
      ...service.parts.database,
      run: (query: any) => ((pages += 1) > 3 ? Promise.reject(new Error("away")) : service.parts.database.run(query)),
    };
    const handler = createHandler({ ...service.parts, database } as typeof service.parts);
    const response = await handler(new Request("http://accounts/v1/account/data", { headers: { authorization: `Bearer ${someone.session}` } }));
    await expect(response.text()).rejects.toThrow("away");
  });

  test("is made ten times an hour", async () => {
    const { session } = await service.newPerson();
    const statuses = [];
    for (let time = 0; time < 11; time += 1) statuses.push((await service.ask("/v1/account/data", { session })).status);
    expect(statuses).toEqual([...Array(10).fill(200), 429]);
  });
});
