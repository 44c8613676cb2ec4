import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { dumpSchema } from "#infra/db/dump-schema.ts";
import { databaseFunctions, roleName } from "#infra/local/migrate.ts";
import { endpoints, imageQualities, modelKinds, policy, scopes } from "#shared/policy.ts";
import { createTestDatabase } from "../support/database.ts";

const database = await createTestDatabase();
const { sql } = database;

afterAll(() => database.close());

test("schema.sql is what the migrations make: run `npm run schema` and review the difference", async () => {
  const reviewed = readFileSync(new URL("../../infra/db/schema.sql", import.meta.url), "utf8");
  expect(await dumpSchema(sql)).toBe(reviewed);
});

describe("the schema", () => {
  test("has the lists of shared/policy.ts as its own", async () => {
    const labels = async (type: string) =>
      (await sql<{ label: string }[]>`select unnest(enum_range(null::usage_endpoint))::text as label where ${type} = 'usage_endpoint'
        union all select unnest(enum_range(null::image_quality))::text where ${type} = 'image_quality'
        union all select unnest(enum_range(null::model_kind))::text where ${type} = 'model_kind'
        union all select unnest(enum_range(null::attested_promise))::text where ${type} = 'attested_promise'`).map(({ label }) => label);
    expect(await labels("usage_endpoint")).toEqual([...endpoints]);
    expect(await labels("model_kind")).toEqual([...modelKinds]);
    expect(await labels("image_quality")).toEqual([...imageQualities]);
    expect(await labels("attested_promise")).toEqual(policy.filter(({ proof }) => proof.kind === "attested").map(({ id }) => id));
    const [row] = await sql<{ definition: string }[]>`
      select pg_get_constraintdef(oid) as definition from pg_constraint where conname = 'api_keys_scopes_known'
    `;
    expect([...row!.definition.matchAll(/'(\w+)'::text/g)].map(([, scope]) => scope)).toEqual([...scopes]);
  });

  test("belongs to an owner that cannot log in", async () => {
    const owners = await sql`
      select distinct pg_get_userbyid(relowner) as owner, rolcanlogin from pg_class join pg_roles r on r.oid = relowner
      where relnamespace = 'public'::regnamespace
    `;
    expect([...owners]).toEqual([{ owner: "epithre_owner", rolcanlogin: false }]);
    const functions = await sql`
      select distinct pg_get_userbyid(proowner) as owner from pg_proc where pronamespace = 'public'::regnamespace
    `;
    expect([...functions]).toEqual([{ owner: "epithre_owner" }]);
  });

  test("has no function of its owner's rights that a caller's search path could lead astray", async () => {
    const astray = await sql`
      select proname from pg_proc
      where pronamespace = 'public'::regnamespace and prosecdef
        and not coalesce('search_path=public, pg_temp' = any (proconfig), false)
    `;
    expect([...astray]).toEqual([]);
  });

  test("gives nothing to everybody", async () => {
    const open = await sql`
      select p.oid::regprocedure::text as what
      from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
      where p.pronamespace = 'public'::regnamespace and g.grantee = 0
      union all
      select c.relname from pg_class c, aclexplode(c.relacl) as g where c.relnamespace = 'public'::regnamespace and g.grantee = 0
      union all
      select 'create in schema public' from pg_namespace n, aclexplode(n.nspacl) as g where nspname = 'public' and g.grantee = 0
    `;
    expect([...open]).toEqual([]);
  });
});

describe("the role of", () => {
  test.each(databaseFunctions)("%s is no superuser, owns nothing, inherits nothing and creates nothing", async (name) => {
    const role = roleName(name);
    const [found] = await sql`
      select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin,
        has_database_privilege(oid, current_database(), 'create') as creates,
        has_database_privilege(oid, current_database(), 'temporary') as "createsTemporary",
        has_schema_privilege(oid, 'public', 'create') as "createsTables",
        (select count(*)::int from pg_auth_members where member = r.oid) as groups,
        (select count(*)::int from pg_class where relowner = r.oid) as owned
      from pg_roles r where rolname = ${role}
    `;
    expect(found).toEqual({
      rolsuper: false, rolcreatedb: false, rolcreaterole: false, rolreplication: false, rolbypassrls: false,
      rolcanlogin: true, creates: false, createsTemporary: false, createsTables: false, groups: 0, owned: 0,
    });
  });

  test("proxy does not exist: it has no database credentials at all (content.none)", async () => {
    const roles = await sql<{ name: string }[]>`select rolname as name from pg_roles where rolname like 'epithre%' order by 1`;
    // The scan for planted words is no function, and may only say what it counted.
    expect(roles.map(({ name }) => name)).toEqual([...databaseFunctions.map(roleName), "epithre_canary", "epithre_owner"].sort());
  });
});

describe("ensure_usage_slices()", () => {
  test("makes the slices that are missing, from the one before now to 14 days ahead, without a gap", async () => {
    const bounds = () => sql<{ name: string; bound: string }[]>`
      select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'usage_events'::regclass order by c.relname
    `;
    const before = await bounds();
    expect(before.length).toBeGreaterThanOrEqual(14 * 4 + 1);
    const dropped = before[3]!.name;
    await sql`drop table ${sql(dropped)}`;
    expect(await sql`select ensure_usage_slices() as made`).toEqual([{ made: 1 }]);
    expect(await sql`select ensure_usage_slices() as made`).toEqual([{ made: 0 }]);
    const after = await bounds();
    expect(after).toEqual(before);
    const edges = after.map(({ bound }) => [...bound.matchAll(/'([0-9a-f-]{36})'/g)].map(([, id]) => id));
    for (const [index, [from]] of edges.entries()) if (index > 0) expect(from).toBe(edges[index - 1]![1]);
    const [row] = await sql<{ name: string; from: string }[]>`
      select usage_slice_name(now() - interval '4 hours') as name, uuidv7_floor(usage_slice_start(now() - interval '4 hours')) as from
    `;
    expect([after[0]!.name, edges[0]![0]]).toEqual([row!.name, row!.from]);
  });

  test("does not wait for a reader or a writer of usage", async () => {
    const [slice] = await sql<{ name: string }[]>`
      select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'usage_events'::regclass order by c.relname desc limit 1
    `;
    await sql`drop table ${sql(slice!.name)}`;
    await sql.begin(async (reader) => {
      await reader`select count(*) from usage_events`;
      await reader`lock table usage_events in row exclusive mode`;
      expect(await sql`select ensure_usage_slices() as made`).toEqual([{ made: 1 }]);
    });
  });

  test("uuidv7_floor() is the least id of its millisecond", async () => {
    const [row] = await sql<{ floor: string; back: Date; above: boolean }[]>`
      select uuidv7_floor('2026-05-11T01:02:03.456Z') as floor, uuid_extract_timestamp(id) as back,
        id >= uuidv7_floor(uuid_extract_timestamp(id)) as above
      from (select uuidv7() as id) as minted
    `;
    const time = Date.parse("2026-05-11T01:02:03.456Z").toString(16).padStart(12, "0");
    expect(row!.floor).toBe(`${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`);
    expect(row!.above).toBe(true);
  });
});
