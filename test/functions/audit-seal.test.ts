import { createPrivateKey } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AuditRow, endOfDay } from "#shared/audit-chain.ts";
import { connect } from "#shared/db.ts";
import type { LogLine } from "#shared/log.ts";
import { createReceiptSigner, openReceipt } from "#shared/receipts.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { checkLog, type Checked } from "#infra/audit/check.ts";
import { createHandler } from "../../functions/audit-seal/handler.ts";
import { openAccount } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { purgeOnce } from "../support/purge.ts";
import { createRandom } from "../support/random.ts";

const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
const stranger = createReceiptSigner(createPrivateKey(makeReceiptKey()));

let db: TestDatabase;
let lines: LogLine[];

beforeEach(async () => {
  db = await createTestDatabase();
  lines = [];
});
afterEach(() => db.close());

async function seal(key = signer): Promise<string> {
  const handler = createHandler({ open: () => connect({ url: db.urlFor("audit-seal"), connections: 1 }), signer: key, log: (line) => void lines.push(line) });
  const response = await handler(new Request("http://audit-seal/", { method: "POST" }));
  return ((await response.json()) as { outcome: string }).outcome;
}

/** Rows that are so many days old, some about an account. */
async function addRows(ageDays: number, count: number, accountId?: string): Promise<void> {
  await db.sql`
    insert into audit_log (at, actor, action, subject_alias, object_id)
    select date_trunc('day', now(), 'UTC') - make_interval(days => ${ageDays}) + n * interval '1 minute', 'system', 'key_created',
      (select audit_alias from accounts where id = ${accountId ?? null}), gen_random_uuid()
    from generate_series(1, ${count}) as n
  `;
}

/** The log as admin exports it. */
async function exported(): Promise<string[]> {
  const days = await db.sql<{ day: string; statement: string }[]>`select day::text as day, statement from audit_days order by day`;
  const rows = await db.sql<AuditRow[]>`
    select id::text as id, at, actor, action, operator_id as "operatorId", object_id as "objectId", reason,
      subject_commitment as "subjectCommitment", subject_alias as "subjectAlias", subject_salt as "subjectSalt"
    from audit_rows('-infinity', 0, 'infinity', 1000000)
  `;
  return days.flatMap(({ day, statement }) => [
    JSON.stringify({ statement }),
    ...rows.filter(({ at }) => at.startsWith(day)).map((row) => JSON.stringify({ row })),
  ]);
}

async function* each(all: string[]): AsyncGenerator<string> {
  yield* all;
}

const verify = async (all?: string[]): Promise<Checked> => checkLog(each(all ?? (await exported())), [signer.key]);

/** Someone with all rights to the database who changes what is not theirs to change. */
async function tamper(work: string): Promise<void> {
  await db.sql.unsafe(`alter table audit_log disable trigger user; ${work}; alter table audit_log enable trigger user`);
}

const today = () => new Date().toISOString().slice(0, 10);

describe("audit-seal()", () => {
  test("chains rows as they come and signs each day, also the running one (keep.audit)", async () => {
    await addRows(2, 3);
    await addRows(1, 2);
    expect(await seal()).toBe("sealed");
    expect(lines).toEqual([{ at: "audit_sealed", rows: 5, days: 3 }]);
    await db.sql`insert into audit_log (actor, action) values ('system', 'key_created')`;
    expect(await verify()).toMatchObject({ days: 3, rows: 5, unsealed: 1 });
    await seal();
    await seal();
    expect(lines.slice(1)).toEqual([{ at: "audit_sealed", rows: 1, days: 1 }, { at: "audit_sealed", rows: 0, days: 1 }]);
    const checked = await verify();
    expect(checked).toMatchObject({ days: 3, rows: 6, unsealed: 0, leftOut: undefined });
    expect(checked.until.slice(0, 10)).toBe(today());
    const days = await db.sql<{ statement: string }[]>`select statement from audit_days order by day limit 2`;
    for (const { statement } of days) {
      const { day, sealed_until: until } = openReceipt(statement, [signer.key]).statement;
      expect(until).toBe(endOfDay(String(day)));
    }
  });

  test("seals empty days too, so that none can be taken away", async () => {
    await addRows(4, 1);
    await seal();
    const all = await exported();
    expect(all).toHaveLength(6);
    await expect(verify(all.toSpliced(2, 1))).rejects.toThrow(/day \S+ is missing/);
  });

  test("finds no row late, and is not kept away, by those who write all the time (keep.audit)", async () => {
    const writers = Array.from({ length: 8 }, () => connect({ url: db.url, connections: 1 }));
    let isOver = false;
    const write = async (sql: (typeof writers)[number], index: number) => {
      const random = createRandom(index + 1);
      let written = 0;
      while (!isOver) {
        await sql.begin(async (transaction) => {
          await transaction`insert into audit_log (actor, action) values ('system', 'key_created')`;
          await transaction`select pg_sleep(${random() * 0.008})`;
        });
        written += 1;
      }
      return written;
    };
    const writing = writers.map(write);
    const outcomes = [];
    for (let run = 0; run < 15; run += 1) outcomes.push(await seal());
    isOver = true;
    const written = (await Promise.all(writing)).reduce((sum, count) => sum + count, 0);
    await Promise.all(writers.map((sql) => sql.end()));
    expect(new Set(outcomes)).toEqual(new Set(["sealed"]));
    await seal();
    expect(await verify()).toMatchObject({ rows: written, unsealed: 0 });
  });

  test("is not held up by, and does not hold up, one who writes for long", async () => {
    const slow = connect({ url: db.url, connections: 1 });
    const quick = connect({ url: db.url, connections: 1 });
    await slow`begin`;
    await slow`insert into audit_log (actor, action) values ('system', 'key_created')`;
    const sealing = seal();
    // Waiting for the lock alone; it is asked for each 300 ms.
    await quick`set lock_timeout = '250ms'`;
    for (let row = 0; row < 20; row += 1) await quick`insert into audit_log (actor, action) values ('system', 'key_created')`;
    expect(await sealing).toBe("busy");
    await slow`commit`;
    expect(await seal()).toBe("sealed");
    expect(await verify()).toMatchObject({ rows: 21 });
    await Promise.all([slow.end(), quick.end()]);
  });

  test("dates no row before what is sealed, even when the clock goes back", async () => {
    await seal();
    await db.sql`update audit_clock set read_until = now() + interval '1 hour'`;
    const [row] = await db.sql<{ later: boolean }[]>`
      with row as (insert into audit_log (actor, action) values ('system', 'key_created') returning at)
      select at > read_until as later from row, audit_clock
    `;
    expect(row!.later).toBe(true);
  });

  test("seals nothing while the clock is in doubt", async () => {
    await db.sql`insert into purge_runs (state, early_days, finished_at) values ('finished', 0, now() - interval '48 hours 1 second')`;
    expect(await seal()).toBe("clock_in_doubt");
    await db.sql`insert into purge_runs (state, early_days, finished_at, confirmed_at, confirmed_by) values ('refused', 0, now(), now(), 'operator')`;
    expect(await seal()).toBe("sealed");
  });

  test("may do nothing else: its role reads no table, and seals no day out of turn (use.audit)", async () => {
    await addRows(1, 1);
    await seal();
    const sql = connect({ url: db.urlFor("audit-seal"), connections: 1 });
    for (const table of ["audit_log", "audit_days", "accounts", "operators"]) {
      await expect(sql`select from ${sql(table)}`).rejects.toMatchObject({ code: "42501" });
    }
    const sealDay = (ageDays: number, rows: number, untilAge: string) => sql`
      select seal_audit_day(current_date - ${ageDays}::integer, ${rows}, ${Buffer.alloc(32)}, now() - ${untilAge}::interval, 'x')
    `;
    await expect(sealDay(1, 9, "0")).rejects.toMatchObject({ code: "EP409" });
    await expect(sealDay(0, 9, "1 day")).rejects.toMatchObject({ code: "EP409" });
    await expect(sealDay(0, 9, "-1 minute")).rejects.toMatchObject({ code: "EP409" });
    await expect(sql`select append_audit('key_created')`).rejects.toMatchObject({ code: "42501" });
    await sql.end();
  });
});

describe("a sealed log", () => {
  const changes: [string, string, RegExp][] = [
    ["another action", "update audit_log set action = 'key_revoked' where id = 2", /a row of day \S+ is not what was sealed/],
    ["another actor", "update audit_log set actor = 'operator', operator_id = gen_random_uuid() where id = 2", /is not what was sealed/],
    ["another time", "update audit_log set at = at + interval '1 microsecond' where id = 2", /is not what was sealed/],
    ["another object", "update audit_log set object_id = gen_random_uuid() where id = 4", /is not what was sealed/],
    ["another subject", "update audit_log set subject_alias = gen_random_uuid() where id = 2", /names an account that it was not about/],
    [
      "another subject and commitment",
      "update audit_log set subject_alias = '11111111-1111-4111-8111-111111111111', subject_commitment = audit_commitment(subject_salt, '11111111-1111-4111-8111-111111111111') where id = 2",
      /is not what was sealed/,
    ],
    ["a row less", "delete from audit_log where id = 5", /has 2 rows, 3 were sealed/],
    ["a row more", "insert into audit_log (at, actor, action) select at + interval '1 second', actor, action from audit_log where id = 5", /has 4 rows, 3 were sealed/],
    ["a row moved", "update audit_log set at = at - interval '1 day' where id = 4", /has 4 rows, 3 were sealed/],
    ["two rows exchanged", "update audit_log l set at = (select at from audit_log where id = 9 - l.id) where id in (4, 5)", /is not what was sealed/],
  ];

  test.each(changes)("shows %s (keep.audit, use.audit)", async (_, change, found) => {
    const accountId = await openAccount(db.sql);
    await addRows(2, 3, accountId);
    await addRows(1, 3, accountId);
    await seal();
    expect(await verify()).toMatchObject({ days: 3, rows: 6 });
    await tamper(change);
    await expect(verify()).rejects.toThrow(found);
  });

  test("shows what was signed by somebody else, replaced as a whole, or put in another order (use.audit)", async () => {
    await addRows(2, 3);
    await addRows(1, 3);
    await seal(stranger);
    await expect(verify()).rejects.toThrow("none of the keys");
    await db.sql`delete from audit_days`;
    await seal();
    const all = await exported();
    await expect(verify(all.toSpliced(0, 4).toSpliced(4, 0, ...all.slice(0, 4)))).rejects.toThrow();
    // The same days, sealed again from another start: each is signed, but does not follow.
    await addRows(3, 1);
    await db.sql`delete from audit_days`;
    await seal();
    const again = await exported();
    await expect(verify([...all.slice(0, 4), ...again.slice(6)])).rejects.toThrow("was not sealed after");
    expect(await verify(again)).toMatchObject({ days: 4, rows: 7 });
  });

  test("still verifies after erasure, and then links no two rows of the person (right.delete, keep.audit)", async () => {
    const [erased, other] = [await openAccount(db.sql), await openAccount(db.sql)];
    await addRows(1, 3, erased);
    await addRows(1, 3, other);
    await seal();
    await db.sql`update accounts set status = 'closed', closed_at = now() - interval '8 days' where id = ${erased}`;
    await purgeOnce(db);
    await seal();
    expect(await verify()).toMatchObject({ days: 2, rows: 7, unsealed: 0 });
    const left = await db.sql<{ commitment: string }[]>`
      select encode(subject_commitment, 'hex') as commitment from audit_log where subject_alias is null and subject_commitment is not null
    `;
    expect(new Set(left.map(({ commitment }) => commitment)).size).toBe(3);
  });

  test("still verifies after purge, from the head of the day before (keep.audit)", async () => {
    for (const [age, count] of [[367, 5], [365, 4], [364, 3], [1, 2]] as const) await addRows(age, count);
    await seal();
    const before = await exported();
    await purgeOnce(db);
    await seal();
    const rows = (await db.sql<{ count: bigint }[]>`select count(*) from audit_log where action = 'key_created'`)[0]!.count;
    expect(rows).toBe(5n);
    const left = await exported();
    // An export begins where rows do.
    const from = left.findIndex((line) => JSON.parse(line).row !== undefined) - 1;
    const checked = await verify(left.slice(from));
    expect(checked).toMatchObject({ days: 365, leftOut: undefined });
    expect(checked.rows).toBe(Number(rows) + 1);
    // And so it does from the middle of what was there before.
    expect(before.slice(0, 1)).toEqual(left.slice(0, 1));
    // A day of which purge has taken a part is left out, and said to be.
    expect(await verify([left[from]!, ...left.slice(from + 2)])).toMatchObject({ leftOut: JSON.parse(left[from + 1]!).row.at.slice(0, 10), days: 364 });
  });
});
