-- policy: keep.* (every limit of the policy as an act, and its evidence), right.delete
--
-- Purge calls these functions and can do nothing else to the tables. The limits come from shared/stored-data.ts with
-- each call; here stands only how much earlier than promised nobody may delete, whoever asks. Each function does one
-- bounded piece of work and counts it in the same transaction: what the evidence says was done was done.

create type purge_state as enum ('running', 'finished', 'interrupted', 'refused');
create type purge_step as enum (
  'slices_ahead', 'leases', 'usage_events', 'api_keys', 'audit_log', 'outbox', 'billing_events', 'purge_runs',
  'accounts', 'persons'
);

-- The evidence. Refused: too long after the last run; confirmed by an operator, who looked at the clock.
create table purge_runs (
  id uuid primary key default uuidv7(),
  state purge_state not null,
  -- Days that live data goes before the promised limits, because of backups.
  early_days integer not null check (early_days between 0 and 30),
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  -- Steps that had more to do than the run could; the next one goes on.
  steps_left integer check (steps_left >= 0),
  confirmed_at timestamptz,
  confirmed_by text constraint purge_runs_confirmed_by_known check (confirmed_by in ('operator', 'system')),
  constraint purge_runs_confirmed_by_someone check ((confirmed_at is null) = (confirmed_by is null))
);

create index purge_runs_started on purge_runs (started_at);

-- live_days: the limit that was applied; null for steps that delete nothing of value.
create table purge_steps (
  run_id uuid not null references purge_runs (id) on delete cascade,
  step purge_step not null,
  live_days integer,
  done bigint not null check (done >= 0),
  primary key (run_id, step)
);

-- What purge looks for.
create index accounts_closed on accounts (closed_at) where status = 'closed';
create index api_keys_revoked on api_keys (revoked_at) where revoked_at is not null;
create index billing_events_created on billing_events (created_at);

-- Parts of persons in whose file bytes of deleted or changed rows still lie, and the last change: VACUUM FULL rewrites
-- the part without them.
create table person_rewrites (
  part smallint primary key,
  changed_xid xid8 not null
);

create function note_person_rewrite() returns trigger language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  insert into person_rewrites (part, changed_xid)
  values (substr(tg_table_name, length('persons_') + 1)::smallint, pg_current_xact_id())
  on conflict (part) do update set changed_xid = excluded.changed_xid;
  return null;
end
$$;

create trigger persons_note_rewrite after update or delete on persons
  for each row execute function note_person_rewrite();

-- Samples of these columns in pg_statistic would outlive the rows.
alter table api_keys
  alter column name set statistics 0,
  alter column prefix set statistics 0,
  alter column hash set statistics 0;

create function note_purge_step(p_run uuid, p_step purge_step, p_live_days integer, p_done bigint) returns void
language sql set search_path = public, pg_temp as $$
  insert into purge_steps as s (run_id, step, live_days, done) values (p_run, p_step, p_live_days, p_done)
  on conflict (run_id, step) do update set done = s.done + excluded.done
$$;

-- Begins a run, for whoever holds purge's lock; a run that is still marked as running has ended without a word.
-- More than 48 hours after the last run the new one is refused: either the clock has jumped, and young data would go,
-- or nobody has watched. It is refused until an operator confirms (confirm_purge_gap).
create function begin_purge_run(p_early_days integer, out run_id uuid, out refused boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_last timestamptz := greatest(
    (select max(finished_at) from purge_runs where state = 'finished'), (select max(confirmed_at) from purge_runs)
  );
begin
  update purge_runs set state = 'interrupted' where state = 'running';
  refused := coalesce(v_last < now() - interval '48 hours', false);
  if refused then
    update purge_runs set finished_at = now() where state = 'refused' and confirmed_at is null returning id into run_id;
    if run_id is not null then
      return;
    end if;
  end if;
  insert into purge_runs (state, early_days, finished_at)
  values (case when refused then 'refused'::purge_state else 'running' end, p_early_days, case when refused then now() end)
  returning id into run_id;
end
$$;

-- Ends a run. One that found nothing to do leaves no row when one of the last 10 minutes says the same: calling purge
-- all the time fills no table.
create function finish_purge_run(p_run uuid, p_steps_left integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update purge_runs set state = 'finished', finished_at = now(), steps_left = p_steps_left
  where id = p_run and state = 'running';
  delete from purge_runs r
  where r.id = p_run and r.state = 'finished' and r.steps_left = 0
    and not exists (select from purge_steps s where s.run_id = r.id and s.done > 0)
    and exists (
      select from purge_runs o
      where o.id <> r.id and o.state = 'finished' and o.steps_left = 0 and o.finished_at > now() - interval '10 minutes'
    );
end
$$;

-- An operator has looked at the clock: the next run deletes again. EP404: nothing was refused. Called by admin's
-- function, which appends the audit row.
create function confirm_purge_gap(p_actor text) returns void
language plpgsql set search_path = public, pg_temp as $$
begin
  update purge_runs set confirmed_at = now(), confirmed_by = p_actor where state = 'refused' and confirmed_at is null;
  if not found then
    raise exception 'Cannot confirm gap: no run of purge was refused' using errcode = 'EP404';
  end if;
end
$$;

-- Until when rows are due in this step. EP409: the run may not delete (refused, over, or another has begun), or the
-- limit is shorter than backups can ask for.
create function purge_cutoff(p_run uuid, p_step purge_step, p_live_days integer, p_lead_hours integer) returns timestamptz
language plpgsql set search_path = public, pg_temp as $$
declare
  v_shortest_days constant integer := case p_step
    when 'usage_events' then 60
    when 'api_keys' then 60
    when 'audit_log' then 335
    when 'outbox' then 1
    when 'billing_events' then 2520
    when 'purge_runs' then 335
    when 'accounts' then 1
  end;
begin
  if not exists (select from purge_runs where id = p_run and state = 'running') then
    raise exception 'Cannot purge: this run may not delete' using errcode = 'EP409';
  end if;
  if p_live_days is null or v_shortest_days is null or p_live_days < v_shortest_days or p_lead_hours not between 0 and 6 then
    raise exception 'Cannot purge: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  return now() - make_interval(days => p_live_days) + make_interval(hours => p_lead_hours);
end
$$;

create function keep_slices_ahead(p_run uuid) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_made integer := ensure_usage_slices();
begin
  perform note_purge_step(p_run, 'slices_ahead', null, v_made);
  return v_made;
end
$$;

create function close_leases(p_run uuid, p_accounts_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_closed integer := close_expired_leases(p_accounts_max);
begin
  perform note_purge_step(p_run, 'leases', null, v_closed);
  return v_closed;
end
$$;

-- Drops the oldest slice whole once its first moment is due, and answers how many: 1 or 0. It waits for readers for
-- 50 ms, since what it waits for, everybody else waits for too; then it fails (55P03) and is called again.
create function drop_due_usage_slice(p_run uuid, p_live_days integer, p_lead_hours integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '50ms' as $$
declare
  v_cutoff timestamptz := purge_cutoff(p_run, 'usage_events', p_live_days, p_lead_hours);
  v_slice regclass;
begin
  select i.inhrelid::regclass into v_slice
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'usage_events'::regclass
    -- The planner may look at every name of the catalogue before it joins: only a case keeps others from being read.
    and case
      when c.relname ~ '^usage_events_[0-9]{10}$'
        then to_timestamp(right(c.relname, 10) || '+00', 'YYYYMMDDHH24TZH') <= v_cutoff
    end
  order by c.relname
  limit 1;
  if v_slice is not null then
    execute format('drop table %s', v_slice);
  end if;
  perform note_purge_step(p_run, 'usage_events', p_live_days, (v_slice is not null)::integer);
  return (v_slice is not null)::integer;
end
$$;

-- Deletes up to p_rows_max rows that are due in a table, oldest first, and answers how many.
create function delete_due_rows(
  p_run uuid, p_step purge_step, p_live_days integer, p_lead_hours integer, p_rows_max integer
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_cutoff timestamptz := purge_cutoff(p_run, p_step, p_live_days, p_lead_hours);
  v_deleted integer;
begin
  case p_step
    when 'api_keys' then
      delete from api_keys where id in (
        select id from api_keys where revoked_at <= v_cutoff order by revoked_at limit p_rows_max
      );
    when 'audit_log' then
      delete from audit_log where id in (select id from audit_log where at <= v_cutoff order by at limit p_rows_max);
    when 'outbox' then
      delete from outbox where id in (
        select id from outbox where created_at <= v_cutoff order by created_at limit p_rows_max
      );
    when 'billing_events' then
      delete from billing_events where id in (
        select id from billing_events where created_at <= v_cutoff order by created_at limit p_rows_max
      );
    when 'purge_runs' then
      delete from purge_runs where id in (
        select id from purge_runs where started_at <= v_cutoff order by started_at limit p_rows_max
      );
  end case;
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, p_step, p_live_days, v_deleted);
  return v_deleted;
end
$$;

create type erasure_outcome as enum ('none', 'more', 'erased');

-- Erases the account that has been closed for longest, with everything that is linked to it but billing events
-- (right.delete). An account with more than p_rows_max usage events takes several calls. Its audit rows name an alias,
-- which goes with the account.
create function erase_due_account(p_run uuid, p_grace_days integer, p_rows_max integer) returns erasure_outcome
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_cutoff timestamptz := purge_cutoff(p_run, 'accounts', p_grace_days, 0);
  v_account uuid;
  v_later_id uuid;
begin
  select id into v_account from accounts
  where status = 'closed' and closed_at <= v_cutoff
  order by closed_at limit 1 for update skip locked;
  if v_account is null then
    perform note_purge_step(p_run, 'accounts', p_grace_days, 0);
    return 'none';
  end if;

  select id into v_later_id from usage_events where account_id = v_account order by id offset p_rows_max limit 1;
  if v_later_id is not null then
    delete from usage_events where account_id = v_account and id < v_later_id;
    return 'more';
  end if;
  delete from usage_events where account_id = v_account;
  delete from outbox where account_id = v_account;
  delete from leases where account_id = v_account;
  delete from api_keys where account_id = v_account;
  delete from persons where account_id = v_account;
  delete from balances where account_id = v_account;
  delete from accounts where id = v_account;
  perform note_purge_step(p_run, 'accounts', p_grace_days, 1);
  return 'erased';
end
$$;

-- Forgets the parts of persons that have been rewritten since their last change, and answers how many. VACUUM (FULL,
-- FREEZE) leaves nothing that ended before the part's relfrozenxid: what an old snapshot could still see, it keeps.
create function note_person_rewrites(p_run uuid) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_done integer;
begin
  delete from person_rewrites r
  using pg_class c
  where c.oid = format('persons_%s', r.part)::regclass and age(r.changed_xid::xid) > age(c.relfrozenxid);
  get diagnostics v_done = row_count;
  perform note_purge_step(p_run, 'persons', null, v_done);
  return v_done;
end
$$;

grant execute on function begin_purge_run(integer) to epithre_purge;
grant execute on function finish_purge_run(uuid, integer) to epithre_purge;
grant execute on function keep_slices_ahead(uuid) to epithre_purge;
grant execute on function close_leases(uuid, integer) to epithre_purge;
grant execute on function drop_due_usage_slice(uuid, integer, integer) to epithre_purge;
grant execute on function delete_due_rows(uuid, purge_step, integer, integer, integer) to epithre_purge;
grant execute on function erase_due_account(uuid, integer, integer) to epithre_purge;
grant execute on function note_person_rewrites(uuid) to epithre_purge;
grant select on person_rewrites to epithre_purge;
-- VACUUM runs in no function.
grant maintain on persons_0, persons_1, persons_2, persons_3, persons_4, persons_5, persons_6, persons_7
  to epithre_purge;
