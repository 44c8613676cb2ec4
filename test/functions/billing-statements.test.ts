/** Monthly statements: right by arithmetic, in a chain, and never invented. */
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { formatRupiah } from "#shared/money.ts";
import { boundsOf, dayMs } from "../../functions/billing/month.ts";
import { balanceAt, findStatementMonths } from "../../functions/billing/queries.ts";
import { billingKinds, billingReasons } from "../../functions/billing/schema.ts";
import { readStatement, type Statement } from "../../functions/billing/statement.ts";
import { statementCsv } from "../../functions/billing/statement-csv.ts";
import { addModel, openAccount } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { addHistory, makeOld, openOldAccount, type PastEvent, type PastUsage } from "../support/history.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
const models = ["a-chat", "b-chat", "c-chat"];
for (const model of models) await addModel(owner, model);
await makeOld(owner, 6);
const nowMs = Date.now();
const probe = await openOldAccount(owner, nowMs - 180 * dayMs);
/** The last one first. */
const { months } = await billing.run((sql) => findStatementMonths(sql, probe));
const lastMonth = months[0]!;
const oldest = boundsOf(months.at(-1)!);

afterAll(async () => {
  await billing.close();
  await database.close();
});

/** The month in Jakarta, by another way than the one that is tested. */
function monthOf(atMs: number): string {
  const parts = new Intl.DateTimeFormat("en", { timeZone: "Asia/Jakarta", year: "numeric", month: "2-digit" }).formatToParts(atMs);
  const part = (type: string) => parts.find((each) => each.type === type)!.value;
  return `${part("year")}-${part("month")}`;
}

const sum = (amounts: number[]) => BigInt(amounts.reduce((all, amount) => all + amount, 0));

/** Any time since before the oldest month, and often a border of one. */
const borders = months.flatMap((month) => [boundsOf(month).startMs, boundsOf(month).startMs - 1, boundsOf(month).endMs]);
const time = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: oldest.startMs - 5 * dayMs, max: nowMs }) },
  fc.constantFrom(...borders),
  fc.integer({ min: nowMs - 2 * dayMs, max: nowMs }),
);
const tokens = fc.nat(2_000_000_000);
const usageEvent: fc.Arbitrary<PastUsage> = fc.record({
  atMs: time, model: fc.constantFrom(...models), costMicro: fc.nat(3_000_000), promptTokens: tokens, cachedTokens: tokens,
  completionTokens: tokens, reasoningTokens: tokens, images: fc.nat(3),
});
const creditMicro = fc.integer({ min: 1, max: 9_000_000 });
const topUp: fc.Arbitrary<PastEvent> = fc.record({ atMs: time, kind: fc.constant("top_up"), amountMicro: creditMicro });
/** At most once in an account's life. */
const signupCredit: fc.Arbitrary<PastEvent[]> = fc.array(
  fc.record({ atMs: time, kind: fc.constant("signup_credit"), amountMicro: creditMicro }), { maxLength: 1 },
);
const debit: fc.Arbitrary<PastEvent> = fc.record({ atMs: time, kind: fc.constantFrom("refund", "adjustment"), amountMicro: fc.integer({ min: -2_000_000, max: -1 }) });
/** The first event pays for all that follows. */
const history = fc.record({
  events: fc.tuple(signupCredit, fc.array(fc.oneof(topUp, debit), { maxLength: 8 })).map((events): PastEvent[] => [
    { atMs: oldest.startMs - 6 * dayMs, kind: "top_up", amountMicro: 100_000_000 }, ...events.flat(),
  ]),
  usage: fc.array(usageEvent, { maxLength: 15 }),
});

interface Past {
  events: PastEvent[];
  usage: PastUsage[];
}

async function addAccount({ events, usage }: Past): Promise<string> {
  const accountId = await openOldAccount(owner, oldest.startMs - 7 * dayMs);
  const running = usage.filter(({ atMs }) => atMs > nowMs - dayMs).map(({ costMicro }) => costMicro);
  await addHistory(owner, accountId, events, usage, Number(sum(running)));
  return accountId;
}

const statementOf = (accountId: string, month: string) => readStatement(billing, accountId, month);

describe("readStatement()", () => {
  test("gives months that chain, whose lines are the history's and add up, whatever the history (keep.billing, use.usage)", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (past) => {
        const accountId = await addAccount(past);
        const [youngest, ...older] = await Promise.all(months.map((month) => statementOf(accountId, month)));
        for (const statement of [youngest!, ...older]) expectToAddUp(statement, past);
        for (const [index, statement] of older.entries()) {
          expect(statement.closingMicro).toBe((index === 0 ? youngest! : older[index - 1]!).openingMicro);
        }
        for (const { month, openingMicro, closingMicro } of [youngest!, ...older]) {
          expect({ openingMicro, closingMicro }).toEqual(await balancesByLedger(accountId, month));
        }
      }),
      { numRuns: 15 },
    );
  }, 120_000);

  /** Forwards from the account's first day, by the ledger's entries: a statement reckons backwards from now. */
  async function balancesByLedger(accountId: string, month: string) {
    const [row] = await owner<{ openingMicro: bigint; closingMicro: bigint }[]>`
      with changes as (
        select b.created_at as at, e.amount_micro as micro
        from ledger_entries e join billing_events b on b.id = e.event_id
        where e.ledger_account = 'customer' and e.account_id = ${accountId}
        union all
        select uuid_extract_timestamp(id), -cost_micro from usage_events where account_id = ${accountId}
      ), months as (
        select to_char(at at time zone 'Asia/Jakarta', 'YYYY-MM') as month, micro from changes
      )
      select
        coalesce(sum(micro) filter (where month < ${month}), 0)::bigint as "openingMicro",
        coalesce(sum(micro) filter (where month <= ${month}), 0)::bigint as "closingMicro"
      from months
    `;
    return { ...row };
  }

  function expectToAddUp(statement: Statement, past: Past): void {
    const { month, openingMicro, events, usage, closingMicro } = statement;
    const used = usage.reduce((all, row) => all + row.costMicro, 0n);
    const credited = events.reduce((all, event) => all + event.amountMicro, 0n);
    expect(openingMicro + credited - used).toBe(closingMicro);
    const ownEvents = past.events.filter(({ atMs }) => monthOf(atMs) === month).sort((one, other) => one.atMs - other.atMs);
    expect(events.map(({ at, kind, amountMicro }) => [at.getTime(), kind, amountMicro]).sort()).toEqual(
      ownEvents.map(({ atMs, kind, amountMicro }) => [atMs, kind, BigInt(amountMicro)]).sort(),
    );
    const own = past.usage.filter(({ atMs }) => monthOf(atMs) === month);
    const byModel = models.flatMap((model) => {
      const rows = own.filter((row) => row.model === model);
      const total = (of: (row: PastUsage) => number) => sum(rows.map(of));
      if (rows.length === 0) return [];
      return [{
        model, requests: BigInt(rows.length), promptTokens: total((row) => row.promptTokens), cachedTokens: total((row) => row.cachedTokens),
        completionTokens: total((row) => row.completionTokens), reasoningTokens: total((row) => row.reasoningTokens),
        images: total((row) => row.images), costMicro: total((row) => row.costMicro),
      }];
    });
    expect(usage).toEqual(byModel);
  }

  test("balance_at() counts what came before the moment, to the millisecond", async () => {
    const atMs = nowMs - dayMs;
    const use = (usedMs: number, costMicro: number) => ({
      atMs: usedMs, model: models[0]!, costMicro, promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, images: 0,
    });
    const topUps = [atMs - 1, atMs, atMs + 1].map((eventMs, index): PastEvent => ({ atMs: eventMs, kind: "top_up", amountMicro: 1_000 * 10 ** index }));
    const accountId = await addAccount({ events: topUps, usage: [use(atMs - 1, 1), use(atMs, 20), use(atMs + 1, 300)] });
    const balances = [atMs - 1, atMs, atMs + 1, atMs + 2].map((each) => billing.run((sql) => balanceAt(sql, accountId, each)));
    expect(await Promise.all(balances)).toEqual([0n, 999n, 10_979n, 110_679n]);
  });

  test("opens with nothing for the month in which the account was opened", async () => {
    const accountId = await openOldAccount(owner, boundsOf(lastMonth).startMs + dayMs);
    await addHistory(owner, accountId, [{ atMs: boundsOf(lastMonth).startMs + 2 * dayMs, kind: "top_up", amountMicro: 7 }], []);
    expect(await statementOf(accountId, lastMonth)).toMatchObject({ openingMicro: 0n, closingMicro: 7n });
  });

  test.each([
    ["2026-13", "write the month as 2026-11"],
    ["2026-1", "write the month as 2026-11"],
    ["marker", "write the month as 2026-11"],
    [monthOf(nowMs), "over for a day"],
    ["9999-12", "over for a day"],
    ["2020-02", "the account was opened later"],
  ])("refuses %s and says why (content.none)", async (month, reason) => {
    const refused = await statementOf(probe, month).catch((thrown) => thrown);
    expect(refused).toMatchObject({ kind: "not_found" });
    expect(refused.message).toContain(reason);
    expect(refused.message).not.toContain("marker");
  });

  test("lists months from the account's opening on, and none of a closed account", async () => {
    const young = await openAccount(owner);
    const list = (accountId: string) => billing.run((sql) => findStatementMonths(sql, accountId)).then((found) => found.months);
    expect(await list(young)).toEqual([]);
    const closed = await openOldAccount(owner, nowMs - 180 * dayMs);
    expect(await list(closed)).toEqual(months);
    expect(months.length).toBeGreaterThanOrEqual(3);
    await owner`update accounts set status = 'closed', closed_at = now() where id = ${closed}`;
    expect(await list(closed)).toEqual([]);
    expect(uuidv7TimeMs(young)).toBeGreaterThan(nowMs);
  });
});

describe("statementCsv()", () => {
  test("is read by another reader, and its amounts add up to the closing balance", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (past) => {
        const statement = await statementOf(await addAccount(past), lastMonth);
        const records: Record<string, string>[] = parse(Buffer.from(statementCsv(statement).bytes), { columns: true, recordDelimiter: "\r\n" });
        const micro = (record: Record<string, string>) => BigInt(record.amount_rupiah!.replace(".", ""));
        const [closing, ...lines] = records.toReversed();
        expect(lines.reduce((all, record) => all + micro(record), 0n)).toBe(micro(closing!));
        expect([lines.at(-1)!.line, closing!.line]).toEqual(["opening_balance", "closing_balance"]);
        expect(closing!.amount_rupiah).toBe(formatRupiah(statement.closingMicro));
        expect(records.filter(({ line }) => line === "usage").map((record) => [record.description, record.requests, record.input_tokens])).toEqual(
          statement.usage.map(({ model, requests, promptTokens }) => [model, String(requests), String(promptTokens)]),
        );
        expect(records.map(({ time }) => time).every((time) => time === "" || /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+07:00$/.test(time!))).toBe(true);
      }),
      { numRuns: 20 },
    );
  }, 120_000);
});

describe("the lists of schema.ts", () => {
  test("are those of the database", async () => {
    const [row] = await owner<{ kinds: string[]; reasons: string[] }[]>`
      select enum_range(null::billing_kind)::text[] as kinds, enum_range(null::billing_reason)::text[] as reasons
    `;
    expect(row).toEqual({ kinds: [...billingKinds], reasons: [...billingReasons] });
  });
});

describe("when usage is purged", () => {
  /** Drops slices as purge does, from the oldest on, up to the one of this time. */
  async function dropUntil(atMs: number): Promise<void> {
    const slices = await owner<{ name: string }[]>`
      select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'usage_events'::regclass and c.relname <= usage_slice_name(${new Date(atMs)}) order by c.relname
    `;
    for (const { name } of slices) await owner`drop table ${owner(name)}`;
  }

  test("readStatement() invents nothing: it refuses a month of which a slice goes while it reads, and from then on (keep.usage)", async () => {
    const month = months.at(-1)!;
    const accountId = await addAccount({ events: [{ atMs: oldest.startMs, kind: "top_up", amountMicro: 5 }], usage: [] });
    expect((await statementOf(accountId, month)).closingMicro).toBe(5n);
    let calls = 0;
    const interrupted: DatabasePool = {
      ...billing,
      async run(query) {
        calls += 1;
        if (calls === 20) await dropUntil(oldest.startMs);
        return billing.run(query);
      },
    };
    await expect(readStatement(interrupted, accountId, month)).rejects.toThrow("some of this month's is deleted");
    expect(calls).toBeGreaterThan(20);
    await expect(statementOf(accountId, month)).rejects.toThrow("some of this month's is deleted");
    expect((await statementOf(accountId, months.at(-2)!)).openingMicro).toBe(5n);
  });

  test("statement_months() gives a month up before its own first slice can be due, so that nobody reads that (keep.usage)", async () => {
    const month = months.at(-2)!;
    const list = () => billing.run((sql) => findStatementMonths(sql, probe)).then((found) => found.months);
    await dropUntil(boundsOf(month).startMs - 9 * 3_600_000);
    expect(await list()).toContain(month);
    await dropUntil(boundsOf(month).startMs - 4 * 3_600_000);
    expect(await list()).not.toContain(month);
  });
});
