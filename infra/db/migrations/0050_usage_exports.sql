-- policy: keep.usage (what a usage log as a file was asked for, and its link as SHA-256: 24 hours, with the file), right.export
--
-- Large exports are built in the background, part by part, into the object store. The row says what was asked for and
-- how far it is built; the object is named by the row's id, and whatever the store has without a row here is deleted
-- there. So the end of a row, whoever brings it about, is the end of its file.

create type usage_export_state as enum ('queued', 'building', 'ready', 'failed');

create table usage_exports (
  id uuid primary key default uuidv7(),
  account_id uuid not null references accounts (id) on delete cascade,
  created_at timestamptz not null default now(),
  state usage_export_state not null default 'queued',
  -- Days in UTC, both counted; the first is always set: a file is not to outlive what is in it.
  from_day date not null,
  to_day date,
  model_id smallint references models (id),
  key_id uuid,
  endpoint usage_endpoint,
  -- The first digit.
  status_class smallint check (status_class between 1 and 5),
  -- Exports take turns.
  turn_at timestamptz not null default now(),
  -- How often it was begun anew.
  restarts integer not null default 0 check (restarts >= 0),
  -- How far it is built: what the object store called each part, the last event looked at, the records until then, and
  -- the whole subtrees of the tree over them, of 32 bytes each (shared/merkle.ts).
  etags text[] not null default '{}'
    constraint usage_exports_etags_form check (array_to_string(etags, ',', '-') ~ '^("?[0-9A-Za-z_.+/=-]{1,80}"?(,|$))*$'),
  cursor_id uuid,
  records bigint not null default 0 check (records >= 0),
  bytes bigint not null default 0 check (bytes >= 0),
  first_id uuid,
  last_id uuid,
  subtrees bytea not null default '' constraint usage_exports_subtrees_are_hashes check (octet_length(subtrees) % 32 = 0),
  -- The link that the file is fetched by. It ends long before the file does.
  link_hash bytea constraint usage_exports_link_hash_is_sha256 check (octet_length(link_hash) = 32),
  link_ends_at timestamptz,
  constraint usage_exports_link_ends check ((link_hash is null) = (link_ends_at is null))
);

create index usage_exports_account on usage_exports (account_id, created_at);
create index usage_exports_created on usage_exports (created_at);
create index usage_exports_turn on usage_exports (turn_at) where state in ('queued', 'building');

-- Samples in pg_statistic would outlive the rows.
alter table usage_exports
  alter column link_hash set statistics 0,
  alter column subtrees set statistics 0;

-- Asks for a file, or answers the one that is asked for already in the same words and not yet built.
-- EP404: no account or no such model. EP429: the account has p_own_max files. EP503: p_waiting_max wait in all.
create function request_usage_export(
  p_account uuid, p_from date, p_to date, p_model text, p_key uuid, p_endpoint usage_endpoint, p_status_class smallint,
  p_own_max integer, p_waiting_max integer
) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_model smallint := (select id from models where name = p_model);
  v_id uuid;
begin
  if p_model is not null and v_model is null then
    raise exception 'Cannot ask for export: no such model' using errcode = 'EP404';
  end if;
  -- Files are asked for seldom: one at a time keeps both limits exact.
  perform pg_advisory_xact_lock(hashtext('usage_exports'));
  select e.id into v_id from usage_exports e
  where e.account_id = p_account and e.state in ('queued', 'building') and e.from_day = p_from
    and (e.to_day, e.model_id, e.key_id, e.endpoint, e.status_class)
      is not distinct from (p_to, v_model, p_key, p_endpoint, p_status_class);
  if v_id is not null then
    return v_id;
  end if;
  if (select count(*) from usage_exports where account_id = p_account) >= p_own_max then
    raise exception 'Cannot ask for export: the account has as many as it may' using errcode = 'EP429';
  end if;
  if (select count(*) from usage_exports where state in ('queued', 'building')) >= p_waiting_max then
    raise exception 'Cannot ask for export: too many wait' using errcode = 'EP503';
  end if;
  insert into usage_exports (account_id, from_day, to_day, model_id, key_id, endpoint, status_class)
  select id, p_from, p_to, v_model, p_key, p_endpoint, p_status_class from accounts where id = p_account and status <> 'closed'
  returning id into v_id;
  if v_id is null then
    raise exception 'Cannot ask for export: no such account' using errcode = 'EP404';
  end if;
  return v_id;
end
$$;

-- Whose turn it is, or no row. Taking it puts its next turn behind that of the others.
create function take_usage_export_turn() returns setof uuid
language sql security definer set search_path = public, pg_temp as $$
  update usage_exports set turn_at = clock_timestamp()
  where id = (select id from usage_exports where state in ('queued', 'building') order by turn_at limit 1)
  returning id
$$;

-- A part lies in the object store. False: another one has gone on from here, or the export has ended.
create function note_usage_export_part(
  p_id uuid, p_part integer, p_etag text, p_cursor uuid, p_records bigint, p_bytes bigint, p_first uuid, p_last uuid,
  p_subtrees bytea
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update usage_exports set
    state = 'building', etags = etags || p_etag, cursor_id = p_cursor, records = p_records, bytes = p_bytes,
    first_id = p_first, last_id = p_last, subtrees = p_subtrees
  where id = p_id and state in ('queued', 'building') and cardinality(etags) = p_part - 1;
  return found;
end
$$;

-- All parts are one object.
create function finish_usage_export(p_id uuid, p_parts integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update usage_exports set state = 'ready' where id = p_id and state = 'building' and cardinality(etags) = p_parts;
  return found;
end
$$;

-- What was built is of no use: the object store has other parts than were noted. After p_restarts_max it is given up.
create function restart_usage_export(p_id uuid, p_restarts_max integer) returns void
language sql security definer set search_path = public, pg_temp as $$
  update usage_exports set
    state = case when restarts < p_restarts_max then 'queued' else 'failed' end::usage_export_state,
    restarts = restarts + 1, etags = '{}', cursor_id = null, records = 0, bytes = 0, first_id = null, last_id = null, subtrees = ''
  where id = p_id and state in ('queued', 'building')
$$;

-- Gives a ready file of the account another link, in place of the former; answers when it ends, or null.
create function link_usage_export(p_account uuid, p_id uuid, p_hash bytea, p_link_minutes integer, p_live_hours integer)
returns timestamptz
language sql security definer set search_path = public, pg_temp as $$
  update usage_exports set
    link_hash = p_hash,
    link_ends_at = least(now() + make_interval(mins => p_link_minutes), created_at + make_interval(hours => p_live_hours))
  where id = p_id and account_id = p_account and state = 'ready' and created_at > now() - make_interval(hours => p_live_hours)
  returning link_ends_at
$$;

-- Whose file a link opens, or null. An account that was closed has none any more.
create function open_usage_export(p_id uuid, p_hash bytea) returns uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select e.account_id from usage_exports e join accounts a on a.id = e.account_id
  where e.id = p_id and e.link_hash = p_hash and e.link_ends_at > now() and e.state = 'ready' and a.status <> 'closed'
$$;

-- Ends up to p_rows_max exports that have lived for p_live_hours, or whose account was closed; answers how many. EP409:
-- shorter than people are told.
create function end_usage_exports(p_live_hours integer, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_ended integer;
begin
  if p_live_hours is null or p_live_hours < 24 then
    raise exception 'Cannot end exports: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  delete from usage_exports where id in (
    select e.id from usage_exports e join accounts a on a.id = e.account_id
    where e.created_at <= now() - make_interval(hours => p_live_hours) or a.status = 'closed'
    limit p_rows_max
  );
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;

grant select on usage_exports to epithre_export;
grant execute on function request_usage_export(uuid, date, date, text, uuid, usage_endpoint, smallint, integer, integer) to epithre_export;
grant execute on function take_usage_export_turn() to epithre_export;
grant execute on function note_usage_export_part(uuid, integer, text, uuid, bigint, bigint, uuid, uuid, bytea) to epithre_export;
grant execute on function finish_usage_export(uuid, integer) to epithre_export;
grant execute on function restart_usage_export(uuid, integer) to epithre_export;
grant execute on function link_usage_export(uuid, uuid, bytea, integer, integer) to epithre_export;
grant execute on function open_usage_export(uuid, bytea) to epithre_export;
grant execute on function end_usage_exports(integer, integer) to epithre_export;
