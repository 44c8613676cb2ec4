/** The policy's data against the tests, the database and purge: what is promised is tested, and nothing else is stored. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { policy, promised, type PromiseId } from "#shared/policy.ts";
import {
  backupWindowDaysMax, boundText, columns, earlyDays, erasureGraceDays, freeText, limitDays, limitHours, liveLimitDays,
  purgeLeadHours, retention, type Retention, usageFields,
} from "#shared/stored-data.ts";
import { createTestDatabase, type TestDatabase } from "./support/database.ts";

/** Promises that no test names yet, by what will bring it. This list only shrinks. */
const owedByLaterIssues: Partial<Record<PromiseId, string>> = {
  "right.*": "requests by mail, which operators enter and the database counts the time of",
  "sec.tls": "the cluster: TLS at the ingress",
  "change.notice": "notice of a changed policy",
};

const testFolder = fileURLToPath(new URL("./", import.meta.url));

function testFiles(pathPrefix: string): string[] {
  return readdirSync(testFolder, { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(".test.ts") && path.startsWith(pathPrefix),
  );
}

/** The titles of all tests in files whose path begins so: the first argument of `test`, `describe` and their kin. */
function titles(pathPrefix = ""): string[] {
  const call = /\b(?:test|it|describe)(?:\.\w+(?:\([\s\S]*?\))?)*\(\s*(["'`])((?:\\.|(?!\1)[\s\S])*)\1/g;
  return testFiles(pathPrefix).flatMap((path) =>
    [...readFileSync(join(testFolder, path), "utf8").matchAll(call)].map(([, , title]) => title!),
  );
}

/** `purge() drops a slice (keep.usage, keep.*)` -> keep.usage, keep.* */
function named(title: string): string[] {
  const inBrackets = /\(([^()]*)\)$/.exec(title)?.[1] ?? "";
  return inBrackets.split(",").map((id) => id.trim());
}

describe("promises", () => {
  test("each has a test that names it, or an issue that owes one (keep.closed)", () => {
    const tested = new Set(titles().flatMap(named));
    const untested = policy.map(({ id }) => id).filter((id) => !tested.has(id));
    expect(untested.sort()).toEqual(Object.keys(owedByLaterIssues).sort());
  });

  test("have each its own id, and a limit of time wherever data is kept for a time", () => {
    expect(new Set(policy.map(({ id }) => id)).size).toBe(policy.length);
    for (const { limit } of retention) expect(limitHours(limit)).toBeGreaterThan(0);
  });
});

describe("liveLimitDays()", () => {
  const days = (amount: number) => ({ amount, unit: "days" }) as const;

  test.each([
    [90, null, 90],
    [90, 7, 81],
    [90, 0, 88],
    [30, 7, 21],
    [365, 14, 349],
  ])("%i days with a backup window of %s leave %i (keep.*)", (limit, window, live) => {
    expect(liveLimitDays(days(limit), window)).toBe(live);
  });

  test("counts a year so that no calendar makes it late (keep.billing)", () => {
    const sevenYears = limitDays({ amount: 7, unit: "years" });
    for (let year = 2026; year < 2036; year += 1) {
      const event = new Date(Date.UTC(year, 1, 28));
      const promised = Date.UTC(year + 7, 1, 28);
      expect(event.getTime() + sevenYears * 86_400_000).toBeLessThanOrEqual(promised);
    }
  });

  test("erasure fits into its limit with every window that may be configured (right.delete)", () => {
    expect(erasureGraceDays + purgeLeadHours / 24 + earlyDays(backupWindowDaysMax)).toBeLessThanOrEqual(30);
    for (const { how, limit } of retention) {
      if (how !== "expire") expect(liveLimitDays(limit, backupWindowDaysMax) * 24).toBeGreaterThan(purgeLeadHours);
    }
  });

  test("leaves out only what says how its copies in backups end, within the limit of its promise (keep.*, keep.usage)", () => {
    const rows: readonly Retention[] = retention;
    expect(rows.filter(({ inBackups }) => inBackups !== undefined)).toEqual(rows.filter(({ how }) => how === "expire"));
    for (const { how, promise, limit } of rows) {
      if (how === "expire") expect(limitHours(limit) / 24 + earlyDays(backupWindowDaysMax)).toBeLessThan(limitDays(promised(promise!).limit!));
    }
  });
});

interface Column {
  table: string;
  name: string;
  type: string;
}

describe("the database", () => {
  let db: TestDatabase;
  let catalogue: Column[];

  beforeAll(async () => {
    db = await createTestDatabase();
    catalogue = await db.sql<Column[]>`
      select c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace not in (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema', 'pg_toast'))
        and c.relkind in ('r', 'p', 'm', 'v', 'f') and not c.relispartition and a.attnum > 0 and not a.attisdropped
    `;
  });
  afterAll(() => db.close());

  const classified = Object.entries(columns).flatMap(([table, categories]) =>
    Object.values(categories).flatMap((names) => names.map((name) => `${table}.${name}`)),
  );

  test("has no column but those that the policy puts into exactly one category (keep.closed)", () => {
    expect(classified.filter((column, index) => classified.indexOf(column) !== index)).toEqual([]);
    expect(catalogue.map(({ table, name }) => `${table}.${name}`).sort()).toEqual(classified.sort());
  });

  test("takes no words of a caller's but e-mail, name and name of a key, each of limited length (keep.closed, content.none)", async () => {
    const closedType = /^(uuid|smallint|integer|bigint|boolean|date|timestamp with time zone|xid8|oid)(\[\])?$/;
    const enums = await db.sql<{ name: string }[]>`select typname as name from pg_type where typtype = 'e'`;
    const open = catalogue
      .filter(({ type }) => !closedType.test(type) && !enums.some(({ name }) => name === type))
      .map(({ table, name }) => `${table}.${name}`);
    expect(open.sort()).toEqual([...Object.keys(freeText), ...Object.keys(boundText)].sort());

    const checks = await db.sql<{ column: string; rule: string }[]>`
      select c.conrelid::regclass || '.' || a.attname as column, pg_get_constraintdef(c.oid) as rule
      from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
      where c.contype = 'c'
    `;
    for (const [column, charactersMax] of Object.entries(freeText)) {
      const limits = checks.filter((check) => check.column === column).flatMap(({ rule }) => [...rule.matchAll(/length\(\w+\) <= (\d+)/g)]);
      expect([column, ...limits.map(([, most]) => Number(most))]).toEqual([column, charactersMax]);
    }
    // Of the others, those that another function's caller has a hand in are of a form that the database checks.
    const formed = new Set(checks.map(({ column }) => column));
    for (const column of ["idempotency_claims.digest", "usage_exports.etags", "usage_exports.link_hash", "account_tokens.hash", "api_keys.hash", "api_keys.prefix", "api_keys.scopes", "models.name", "persons.password_hash"]) {
      expect(formed, column).toContain(column);
    }
  });

  test("keeps of a call what the policy names, and ids (keep.usage, use.usage)", () => {
    const promisedColumns = Object.values(usageFields.promised).flat();
    const stored = catalogue.filter(({ table }) => table === "usage_events").map(({ name }) => name);
    expect(stored.sort()).toEqual([...promisedColumns, ...usageFields.ids].sort());
    expect(catalogue.filter(({ table, type }) => table === "usage_events" && /text|json|bytea|char/.test(type))).toEqual([]);
  });

  test("samples no id, word or digest for its statistics, which would outlive the row (keep.account, right.delete)", async () => {
    const sampled = () => db.sql<{ column: string }[]>`
      select c.relname || '.' || a.attname as column
      from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_index i on i.indexrelid = c.oid
      where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
        and (c.relkind in ('r', 'p') or i.indkey[a.attnum - 1] = 0)
        and format_type(a.atttypid, null) ~ '^(uuid|text|bytea)' and a.attstattarget is distinct from 0
    `;
    expect(await sampled()).toEqual([]);
    // Whatever a later migration adds.
    await db.sql`create table epithre_later (word text, at timestamptz)`;
    await db.sql`insert into epithre_later select 'word ' || n, now() from generate_series(1, 100) as n`;
    await db.sql`analyze epithre_later`;
    const statistics = () => db.sql<{ attname: string }[]>`select attname from pg_stats where tablename = 'epithre_later' order by attname`;
    expect((await sampled()).map(({ column }) => column)).toEqual(["epithre_later.word"]);
    expect((await statistics()).map(({ attname }) => attname)).toEqual(["at", "word"]);
    await db.sql`select stop_sampling()`;
    expect(await sampled()).toEqual([]);
    expect((await statistics()).map(({ attname }) => attname)).toEqual(["at"]);
    await db.sql`drop table epithre_later`;
  });

  test("has an end for each table about a person, which purge brings about (keep.*)", async () => {
    const personal = Object.entries(columns)
      .filter(([, categories]) => Object.keys(categories).some((category) => category !== "none"))
      .map(([table]) => table);
    const ends = new Set<string>(retention.map(({ table }) => table));
    // Entries of the ledger go with their billing event, passkeys with their operator.
    const cascades = await db.sql<{ table: string }[]>`
      select conrelid::regclass::text as table from pg_constraint where confdeltype = 'c' and confrelid::regclass::text in ('billing_events', 'operators')
    `;
    expect(personal.filter((table) => !ends.has(table) && !cascades.some((row) => row.table === table))).toEqual([]);
    const steps = await db.sql<{ name: string }[]>`select unnest(enum_range(null::purge_step))::text as name`;
    for (const { how, table } of retention) {
      if (how !== "life_of_account") expect(steps.map(({ name }) => name)).toContain(table);
    }
  });

  test("shows each function's role what it is for, and nothing else (use.account, use.usage, use.audit)", async () => {
    const granted = await db.sql<{ mayDo: string }[]>`
      select substr(r.rolname, length('epithre_') + 1) || ' ' || act.name || ' ' || c.relname as "mayDo"
      from pg_class c
      cross join pg_roles r
      cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as act (name)
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and r.rolname like 'epithre\\_%' and r.rolname <> 'epithre_owner'
        and case when act.name in ('delete', 'truncate') then has_table_privilege(r.oid, c.oid, act.name)
          else has_any_column_privilege(r.oid, c.oid, act.name) end
    `;
    const personal = Object.keys(columns).filter((table) => !("none" in columns[table]!));
    const rights = granted.map(({ mayDo }) => mayDo).filter((mayDo) => personal.includes(mayDo.split(" ")[2]!));
    expect(rights.sort()).toEqual([
      "billing select balances",
      "billing select invoices",
      "billing select key_budgets",
      "billing select leases",
      "export select usage_events",
      "export select usage_exports",
      "key_auth select accounts",
      "key_auth select api_keys",
      "key_auth select throttles",
    ]);
  });

  test("names an account nowhere but where erasure reaches, and in billing (right.delete)", () => {
    const linked = catalogue.filter(({ name }) => name === "account_id").map(({ table }) => table);
    const reached = new Set<string>(retention.flatMap(({ how, table }) => (how === "life_of_account" ? [table] : [])));
    expect(linked.filter((table) => !reached.has(table)).sort()).toEqual(["billing_events", "ledger_entries"]);
  });
});

describe("purge", () => {
  test("has a test for each row of the retention data (keep.*)", () => {
    // Those who are erased are made for several tests.
    const files = [...testFiles("functions/purge"), "support/persons.ts"];
    const text = files.map((path) => readFileSync(join(testFolder, path), "utf8")).join("\n");
    const promisesTested = new Set(titles("functions/purge").flatMap(named));
    for (const { table, promise } of retention) {
      expect(text, table).toMatch(new RegExp(`\\b${table}\\b`));
      if (promise) expect(promisesTested, table).toContain(promise);
    }
  });
});
