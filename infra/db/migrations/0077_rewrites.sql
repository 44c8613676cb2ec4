-- policy: right.delete, keep.* (what is deleted leaves the files too)
--
-- DELETE and VACUUM leave the bytes of a row in its file. So each file from which purge or an erasure took something is
-- noted in the same transaction, and purge writes it anew, with its indexes and TOAST: VACUUM FULL. This takes the place
-- of person_rewrites.

alter type purge_step add value 'rewrites';

create table rewrites (
  -- A table, or a part or a slice of one.
  file oid primary key,
  -- Where its rows lay after the last change, and that change: see note_rewrites().
  node oid not null,
  changed_xid xid8 not null,
  -- How often one run of purge has tried.
  tried_by uuid,
  tries integer not null default 0
);

create function note_rewrite(p_file oid) returns void
language sql set search_path = public, pg_temp as $$
  insert into rewrites as r (file, node, changed_xid) values (p_file, pg_relation_filenode(p_file), pg_current_xact_id())
  on conflict (file) do update set node = excluded.node, changed_xid = excluded.changed_xid
  where r.changed_xid <> excluded.changed_xid
$$;

insert into rewrites (file, node, changed_xid)
select c.oid, pg_relation_filenode(c.oid), changed_xid
from person_rewrites join pg_class c on c.oid = format('persons_%s', part)::regclass;

drop trigger persons_note_rewrite on persons;
drop function note_person_rewrite();
drop function note_person_rewrites(uuid);
drop table person_rewrites;

create function note_changed_file() returns trigger language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  perform note_rewrite(tg_relid);
  return null;
end
$$;

create trigger persons_note_rewrite after update or delete on persons
  for each row execute function note_changed_file();
create trigger api_keys_note_rewrite after update of name on api_keys
  for each row when (new.name is distinct from old.name) execute function note_changed_file();
-- Only erasure deletes rows of usage.
create trigger usage_events_note_rewrite after delete on usage_events
  for each row execute function note_changed_file();

-- An account goes from every table that has anything of accounts: known by the column's name, so that a new one needs no
-- word here. Billing events and their entries alone stay (keep.billing). Rows of it that went before, such as its leases,
-- still lie in the same files.
create function note_erased_account() returns trigger language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  perform note_rewrite(oid) from (
    select c.oid from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not c.relispartition
      and c.oid not in ('billing_events'::regclass, 'ledger_entries'::regclass)
      and (c.oid = 'accounts'::regclass or exists (
        select from pg_attribute a
        where a.attrelid = c.oid and a.attname in ('account_id', 'key_id', 'subject_alias') and not a.attisdropped
      ))
    -- One order, so that two who note the same wait for each other and not in a circle.
    order by c.oid
  ) as files;
  return null;
end
$$;

create trigger accounts_note_rewrites after delete on accounts
  for each row execute function note_erased_account();

-- A step of purge is named after the table that it took rows from, and what is deleted with these goes from other tables.
-- Where a step only moves figures on, or tells of no person, the files may stay.
create or replace function note_purge_step(p_run uuid, p_step purge_step, p_live_days integer, p_done bigint) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
  v_table regclass := (
    select oid from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relname = p_step::text
  );
begin
  insert into purge_steps as s (run_id, step, live_days, done) values (p_run, p_step, p_live_days, p_done)
  on conflict (run_id, step) do update set done = s.done + excluded.done;
  if p_done > 0 and v_table is not null and p_step not in ('leases', 'daily_books', 'purge_runs', 'rewrites') then
    perform note_rewrite(oid) from (
      select v_table as oid union
      select conrelid from pg_constraint where confrelid = v_table and confdeltype = 'c'
      order by oid
    ) as files;
  end if;
end
$$;

-- The file that a run should write anew next: the one it has tried least, and no more than p_tries_max times. Null:
-- there is none. EP409: the run may not delete.
create function take_rewrite(p_run uuid, p_tries_max integer) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_file oid;
begin
  perform purge_cutoff(p_run, 'accounts', 1, 0);
  update rewrites set tries = case when tried_by = p_run then tries + 1 else 1 end, tried_by = p_run
  where file = (
    select file from rewrites
    where tried_by is distinct from p_run or tries < p_tries_max
    order by case when tried_by = p_run then tries else 0 end, changed_xid, file limit 1
  )
  returning file into v_file;
  return (select relname from pg_class where oid = v_file);
end
$$;

-- Forgets the files that have been written anew since their last change, or have gone; answers how many the run has
-- written, and how many are left. A new node says that the file is another. VACUUM (FULL, FREEZE) leaves nothing in it
-- that ended before its relfrozenxid: what an old snapshot could still see, it keeps.
create function note_rewrites(p_run uuid, out done integer, out remaining integer)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_forgotten integer;
begin
  perform purge_cutoff(p_run, 'accounts', 1, 0);
  delete from rewrites r where not exists (select from pg_class where oid = r.file);
  delete from rewrites r using pg_class c
  where c.oid = r.file and pg_relation_filenode(c.oid) <> r.node and age(r.changed_xid::xid) > age(c.relfrozenxid);
  get diagnostics v_forgotten = row_count;
  perform note_purge_step(p_run, 'rewrites', null, v_forgotten);
  done := (select s.done from purge_steps s where s.run_id = p_run and s.step = 'rewrites');
  remaining := (select count(*) from rewrites);
end
$$;

-- A sample in pg_statistic would outlive the row, so no id, word or digest is sampled anywhere: sets every such column of
-- the schema, and removes what was sampled. Plans go by indexes, which tell what is unique.
create function stop_sampling() returns void
language plpgsql set search_path = public, pg_temp as $$
declare
  v_file record;
begin
  for v_file in
    select
      c.oid::regclass as name, c.relname, a.attname,
      case when c.relkind in ('r', 'p')
        then format('alter table only %s alter column %I set statistics 0', c.oid::regclass, a.attname)
        else format('alter index %s alter column %s set statistics 0', c.oid::regclass, a.attnum)
      end as statement
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid
    left join pg_index i on i.indexrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
      -- Of an index, what is computed for it is sampled too.
      and (c.relkind in ('r', 'p') or c.relkind in ('i', 'I') and i.indkey[a.attnum - 1] = 0)
      and a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype, 'text'::regtype, 'text[]'::regtype, 'bytea'::regtype, 'bytea[]'::regtype)
      and a.attstattarget is distinct from 0
    order by c.oid, a.attnum
  loop
    execute v_file.statement;
    perform pg_clear_attribute_stats('public', v_file.relname, v_file.attname, inherited)
    from pg_stats s
    where s.schemaname = 'public' and s.tablename = v_file.relname and s.attname = v_file.attname;
  end loop;
end
$$;

create or replace function ensure_usage_slices(p_days_ahead integer default 14) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '50ms' as $$
declare
  v_start timestamptz;
  v_name text;
  v_made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('ensure_usage_slices'));
  for v_start in
    select generate_series(
      usage_slice_start(now()) - interval '4 hours', now() + make_interval(days => p_days_ahead), interval '4 hours'
    )
  loop
    v_name := usage_slice_name(v_start);
    continue when to_regclass(v_name) is not null;
    execute format('create table %I (like usage_events including all)', v_name);
    execute format(
      'alter table usage_events attach partition %I for values from (%L) to (%L)',
      v_name, uuidv7_floor(v_start), uuidv7_floor(v_start + interval '4 hours')
    );
    v_made := v_made + 1;
  end loop;
  if v_made > 0 then
    perform stop_sampling();
  end if;
  return v_made;
end
$$;

grant execute on function take_rewrite(uuid, integer) to epithre_purge;
grant execute on function note_rewrites(uuid) to epithre_purge;
-- VACUUM runs in no function. Slices and tables to come are the owner's too.
grant maintain on all tables in schema public to epithre_purge;
alter default privileges in schema public grant maintain on tables to epithre_purge;
