-- policy: keep.audit (365 days, in whole days), right.delete, use.audit
--
-- Rows of the audit log name the operator who acted, and are sealed: the function audit-seal chains each into the head of
-- its day and signs the head (shared/audit-chain.ts). What is chained of the account that a row is about is a salted
-- commitment; erasure takes alias and salt out of the row, and the chain still verifies.

alter table audit_log
  add column operator_id uuid,
  -- Both random: without them the commitment says nothing, nor that two rows are about the same account.
  add column subject_salt uuid,
  add column subject_commitment bytea;

create function audit_commitment(p_salt uuid, p_alias uuid) returns bytea
language sql immutable strict set search_path = public, pg_temp as $$
  select sha256(uuid_send(p_salt) || uuid_send(p_alias))
$$;

drop trigger audit_log_immutable on audit_log;

-- Rows of before there were logins: a shared token was all that was known of who acted.
update audit_log set actor = 'system' where actor = 'operator';
update audit_log set subject_salt = gen_random_uuid() where subject_alias is not null;
update audit_log set subject_commitment = audit_commitment(subject_salt, subject_alias) where subject_alias is not null;

alter table audit_log
  add constraint audit_log_operator_named check ((actor = 'operator') = (operator_id is not null)),
  add constraint audit_log_subject_salted check (
    (subject_alias is null) = (subject_salt is null) and (subject_alias is null or subject_commitment is not null)
  ),
  add constraint audit_log_commitment_length check (octet_length(subject_commitment) = 32);

create index if not exists audit_log_subject on audit_log (subject_alias, id);

-- Where nobody has signed in, whoever acts sits at the machine, or is a program: system.
create function complete_audit_row() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if new.actor = 'operator' then
    new.operator_id := acting_operator();
    if new.operator_id is null then
      new.actor := 'system';
    end if;
  end if;
  if new.subject_alias is not null then
    new.subject_salt := gen_random_uuid();
    new.subject_commitment := audit_commitment(new.subject_salt, new.subject_alias);
  end if;
  return new;
end
$$;

create trigger audit_log_complete before insert on audit_log
  for each row execute function complete_audit_row();

-- Nothing in a row changes, but that it forgets whom it was about.
create function refuse_audit_change() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if new.subject_alias is null and to_jsonb(new) - '{subject_alias,subject_salt}'::text[] = to_jsonb(old) - '{subject_alias,subject_salt}'::text[] then
    return new;
  end if;
  raise exception 'Cannot change audit_log: its rows are immutable' using errcode = 'EP409';
end
$$;

create trigger audit_log_immutable before update on audit_log
  for each row execute function refuse_audit_change();

-- Erasure of an account, whoever does it.
create function forget_audit_subject() returns trigger language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  update audit_log set subject_alias = null, subject_salt = null where subject_alias = old.audit_alias;
  return null;
end
$$;

create trigger accounts_forget_audit_subject after delete on accounts
  for each row execute function forget_audit_subject();

-- Up to where the log has been read for sealing: no row comes at this time or before it.
create table audit_clock (
  id boolean primary key default true constraint audit_clock_one check (id),
  read_until timestamptz not null
);
insert into audit_clock (read_until) values ('-infinity');

-- The time of a new row. Writers share the lock to the end of their transactions, and wait for nobody but, briefly,
-- begin_audit_seal(), which sets the clock under it: so that what comes later, is later, and times are the order of sealing.
create function audit_time() returns timestamptz language plpgsql set search_path = public, pg_temp as $$
begin
  perform pg_advisory_xact_lock_shared(hashtext('audit_log'));
  return (select greatest(clock_timestamp(), read_until + interval '1 microsecond') from audit_clock);
end
$$;

alter table audit_log alter column at set default audit_time();

-- A day's head: rows in order of (at, id), from the head of the day before. Kept for good: it says nothing of any row, and
-- what is left of the log is verified from it.
create table audit_days (
  day date primary key,
  rows integer not null constraint audit_days_rows_counted check (rows >= 0),
  head bytea not null constraint audit_days_head_length check (octet_length(head) = 32),
  -- All rows before this are in it. The day is whole once that is its end.
  sealed_until timestamptz not null,
  -- All of the above, signed (JWS).
  statement text not null constraint audit_days_statement_length check (length(statement) <= 1024),
  constraint audit_days_sealed_within check (
    sealed_until > day::timestamp at time zone 'UTC' and sealed_until <= (day + 1)::timestamp at time zone 'UTC'
  )
);

-- Times of the log as text: to the microsecond, in UTC, in the order of their letters.
create function audit_text(p_at timestamptz) returns text language sql immutable set search_path = public, pg_temp as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Where sealing stands: the last day, its rows and head so far (none before the first), and the head before it. It goes on
-- to `until`, which is null where somebody has been writing for 100 ms: ask again. Nobody is kept waiting for longer, and
-- who writes all the time cannot keep sealing away. EP409: purge has not run for 48 hours, or was refused: the
-- clock is in doubt.
create function begin_audit_seal(
  out day date, out rows integer, out head text, out previous text, out sealed_until text, out until text
) language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '100ms' as $$
begin
  if (select greatest(max(finished_at) filter (where state = 'finished'), max(confirmed_at)) from purge_runs)
    < now() - interval '48 hours' then
    raise exception 'Cannot seal: the clock is in doubt' using errcode = 'EP409';
  end if;
  begin
    perform pg_advisory_xact_lock(hashtext('audit_log'));
    update audit_clock set read_until = greatest(read_until, clock_timestamp()) returning audit_text(read_until) into until;
  exception when lock_not_available then
    null;
  end;
  select d.day, d.rows, encode(d.head, 'hex'), encode(b.head, 'hex'), audit_text(d.sealed_until)
  into day, rows, head, previous, sealed_until
  from audit_days d left join audit_days b on b.day = d.day - 1
  order by d.day desc limit 1;
  if day is null then
    day := coalesce((select (min(at) at time zone 'UTC')::date from audit_log), (clock_timestamp() at time zone 'UTC')::date);
    rows := 0;
    sealed_until := audit_text(day::timestamp at time zone 'UTC');
  end if;
end
$$;

-- Rows after (p_at, p_id) and before p_until, in the order of the chain.
create function audit_rows(
  p_at timestamptz, p_id bigint, p_until timestamptz, p_rows_max integer,
  out id bigint, out at text, out actor audit_actor, out action audit_action, out operator_id uuid, out object_id uuid,
  out reason suspension_reason, out subject_commitment text, out subject_alias uuid, out subject_salt uuid
) returns setof record language sql security definer set search_path = public, pg_temp as $$
  select
    l.id, audit_text(l.at), l.actor, l.action, l.operator_id, l.object_id,
    l.reason, encode(l.subject_commitment, 'hex'), l.subject_alias, l.subject_salt
  from audit_log l
  where (l.at, l.id) > (p_at, p_id) and l.at < p_until
  order by l.at, l.id
  limit p_rows_max
$$;

-- Days follow each other, and a day only grows. EP409: it is not the turn of this head.
create function seal_audit_day(p_day date, p_rows integer, p_head bytea, p_sealed_until timestamptz, p_statement text)
returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_last audit_days := (select d from audit_days d order by d.day desc limit 1);
begin
  if p_sealed_until > (select read_until from audit_clock)
    or v_last.day = p_day and (p_sealed_until <= v_last.sealed_until or p_rows < v_last.rows)
    or v_last.day <> p_day and (p_day <> v_last.day + 1 or v_last.sealed_until <> p_day::timestamp at time zone 'UTC') then
    raise exception 'Cannot seal day: it is not its turn' using errcode = 'EP409';
  end if;
  insert into audit_days (day, rows, head, sealed_until, statement)
  values (p_day, p_rows, p_head, p_sealed_until, p_statement)
  on conflict (day) do update set
    rows = excluded.rows, head = excluded.head, sealed_until = excluded.sealed_until, statement = excluded.statement;
end
$$;

-- Deletes up to p_rows_max rows of days whose first moment is due, oldest first, and answers how many: days go whole,
-- because what is left of one could not be verified. So a row goes up to a day and the lead before its limit.
create function delete_due_audit_days(p_run uuid, p_live_days integer, p_lead_hours integer, p_rows_max integer)
returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_until timestamptz :=
    date_trunc('day', purge_cutoff(p_run, 'audit_log', p_live_days, p_lead_hours), 'UTC') + interval '24 hours';
  v_deleted integer;
begin
  delete from audit_log where id in (select id from audit_log where at < v_until order by at, id limit p_rows_max);
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, 'audit_log', p_live_days, v_deleted);
  return v_deleted;
end
$$;

-- A run of purge that did something, or was refused, is in the log too.
create function audit_purge_run() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if new.state = 'refused' and tg_op = 'INSERT' then
    insert into audit_log (actor, action, object_id) values ('system', 'purge_run_refused', new.id);
  elsif new.state = 'finished' and tg_op = 'UPDATE' and exists (select from purge_steps where run_id = new.id and done > 0) then
    insert into audit_log (actor, action, object_id) values ('system', 'purge_run_finished', new.id);
  end if;
  return null;
end
$$;

create trigger purge_runs_audit after insert or update of state on purge_runs
  for each row execute function audit_purge_run();

grant execute on function begin_audit_seal() to epithre_audit_seal;
grant execute on function audit_rows(timestamptz, bigint, timestamptz, integer) to epithre_audit_seal, epithre_admin;
grant execute on function seal_audit_day(date, integer, bytea, timestamptz, text) to epithre_audit_seal;
grant execute on function delete_due_audit_days(uuid, integer, integer, integer) to epithre_purge;
