/**
 * The schema as text, for review: what the migrations amount to, read from the catalogue of a migrated database. Parts of
 * partitioned tables are left out: they are like the whole, and the names of slices are dates.
 */
import type postgres from "postgres";

type AnySql = postgres.Sql<any>;

/** The text of schema.sql. */
export async function dumpSchema(sql: AnySql): Promise<string> {
  const sections = [await types(sql), await tables(sql), await views(sql), await functions(sql), await rights(sql), await comments(sql)];
  return `${heading}\n${sections.flat().join("\n\n").replaceAll(" ON public.", " ON ")}\n`;
}

const heading = `-- Written by \`npm run schema\` from the catalogue of a migrated database; reviewed, never run.
-- test/infra/schema.test.ts compares it with what the migrations make.
`;

async function types(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select coalesce(
      'create type ' || t.typname || ' as enum (' || (
        select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid
      ) || ');',
      'create type ' || t.typname || ' as (' || (
        select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
        from pg_attribute where attrelid = t.typrelid
      ) || ');'
    ) as text
    from pg_type t
    left join pg_class c on c.oid = t.typrelid
    where t.typnamespace = 'public'::regnamespace and (t.typtype = 'e' or c.relkind = 'c')
    order by t.typname
  `;
  return [rows.map(({ text }) => text).join("\n")];
}

async function tables(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ create: string; name: string; columns: string; partition: string; options: string }[]>`
    select
      case c.relpersistence when 'u' then 'create unlogged table' else 'create table' end as create,
      c.relname as name,
      (
        select string_agg(
          '  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || case when a.attnotnull then ' not null' else '' end
            || case when a.attidentity = 'a' then ' generated always as identity' else '' end
            || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
            || coalesce(' /* statistics ' || a.attstattarget || ' */', ''),
          e',\n' order by a.attnum
        )
        from pg_attribute a
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      ) as columns,
      coalesce(' partition by ' || lower(pg_get_partkeydef(c.oid)), '') as partition,
      coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '') as options
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
  `;
  const texts = [];
  for (const { create, name, columns, partition, options } of rows) {
    texts.push([`${create} ${name} (\n${columns}\n)${partition}${options};`, ...(await belongings(sql, name))].join("\n"));
  }
  return texts;
}

/** Constraints, indexes of their own and triggers of a table. */
async function belongings(sql: AnySql, table: string): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select 'alter table ' || ${table}::text || ' add constraint ' || conname || ' ' || pg_get_constraintdef(oid) || ';' as text
    from pg_constraint where conrelid = ${table}::text::regclass and contype in ('c', 'f', 'p', 'u') and conparentid = 0
    union all
    select lower(left(pg_get_indexdef(i.indexrelid), 12)) || substr(pg_get_indexdef(i.indexrelid), 13) || ';'
    from pg_index i
    where i.indrelid = ${table}::text::regclass
      and not exists (select from pg_constraint where conindid = i.indexrelid)
    union all
    select pg_get_triggerdef(oid) || ';'
    from pg_trigger where tgrelid = ${table}::text::regclass and not tgisinternal and tgparentid = 0
    order by text
  `;
  return rows.map(({ text }) => text);
}

/** Columns of each view, and the digest of its query: as with functions, what it says stands in its migration only. */
async function views(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select
      'create view ' || c.relname || ' ('
        || (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)
        || '); -- ' || left(encode(sha256(convert_to(pg_get_viewdef(c.oid), 'UTF8')), 'hex'), 12) as text
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
    order by c.relname
  `;
  return [rows.map(({ text }) => text).join("\n")];
}

/** Signatures, and the digest of each body: a changed body shows, and stays readable in its migration only. */
async function functions(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select
      'create function ' || p.oid::regprocedure || ' returns ' || pg_get_function_result(p.oid)
        || ' language ' || l.lanname
        || case when p.prosecdef then ' security definer' else '' end
        || coalesce(' set ' || array_to_string(p.proconfig, ' set '), '')
        || '; -- ' || left(encode(sha256(convert_to(coalesce(p.prosrc, ''), 'UTF8')), 'hex'), 12) as text
    from pg_proc p
    join pg_language l on l.oid = p.prolang
    where p.pronamespace = 'public'::regnamespace
    order by p.oid::regprocedure::text
  `;
  return [rows.map(({ text }) => text).join("\n")];
}

/** Everything granted to anyone but the owner, on tables, columns and functions. */
async function rights(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select 'grant ' || lower(string_agg(g.privilege_type, ', ' order by g.privilege_type)) || ' on ' || c.relname
      || ' to ' || case g.grantee when 0 then 'public' else g.grantee::regrole::text end || ';' as text
    from pg_class c, aclexplode(c.relacl) as g
    where c.relnamespace = 'public'::regnamespace and g.grantee <> c.relowner
    group by c.relname, g.grantee
    union all
    select 'grant ' || lower(g.privilege_type) || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ') on ' || c.relname
      || ' to ' || case g.grantee when 0 then 'public' else g.grantee::regrole::text end || ';'
    from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) as g
    where c.relnamespace = 'public'::regnamespace
    group by c.relname, g.grantee, g.privilege_type
    union all
    select 'grant execute on function ' || p.oid::regprocedure || ' to ' || case g.grantee when 0 then 'public' else g.grantee::regrole::text end || ';'
    from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
    where p.pronamespace = 'public'::regnamespace and g.grantee <> p.proowner
    order by text
  `;
  return [rows.map(({ text }) => text).join("\n")];
}

/** What the schema says of itself. */
async function comments(sql: AnySql): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select 'comment on ' || split_part(i.type, ' ', -1) || ' ' || regexp_replace(i.identity, '(public|pg_catalog)[.]', '', 'g') || ' is ' || quote_literal(d.description) || ';' as text
    from pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
    where i.schema = 'public'
    order by text
  `;
  return [rows.map(({ text }) => text).join("\n")];
}
