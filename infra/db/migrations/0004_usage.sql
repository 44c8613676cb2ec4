-- policy: keep.usage (timestamp, model, endpoint, token counts, cost, latency, status: 90 days)

create type usage_endpoint as enum (
  'chat.completions', 'completions', 'embeddings', 'images.generations', 'images.edits', 'images.variations'
);

-- The time of an event is its id's (UUIDv7, minted by the proxy). Slices of 4 hours, each dropped whole before its
-- oldest row passes its limit; no default slice, which would have to be searched on every change of slices.
-- Foreign keys would cost more than the insert: settle() joins instead.
create table usage_events (
  id uuid primary key,
  account_id uuid not null,
  key_id uuid not null,
  cost_micro bigint not null check (cost_micro >= 0),
  price_version integer not null,
  prompt_tokens integer not null,
  cached_tokens integer not null,
  completion_tokens integer not null,
  reasoning_tokens integer not null,
  images integer not null,
  latency_ms integer not null,
  endpoint usage_endpoint not null,
  model_id smallint not null,
  status smallint not null
) partition by range (id);

create index usage_events_account on usage_events (account_id, id);

-- What requests cost beyond what their account had: the operator's loss. It names no account.
create table operator_losses (
  day date not null,
  model_id smallint not null references models (id),
  requests bigint not null,
  loss_micro bigint not null check (loss_micro >= 0),
  primary key (day, model_id)
);

-- The smallest id that a UUIDv7 of this time can have: ranges of ids are ranges of time.
create function uuidv7_floor(p_at timestamptz) returns uuid language sql immutable strict parallel safe as $$
  select rpad(lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Where slices begin: every 4 hours from midnight UTC.
create function usage_slice_start(p_at timestamptz) returns timestamptz language sql immutable strict parallel safe as $$
  select date_bin('4 hours', p_at, timestamptz '2000-01-01 00:00:00+00')
$$;

create function usage_slice_name(p_at timestamptz) returns text language sql immutable strict parallel safe as $$
  select 'usage_events_' || to_char(usage_slice_start(p_at) at time zone 'UTC', 'YYYYMMDDHH24')
$$;

-- Makes the slices that are missing from the one before now up to some days ahead, and answers how many it made.
-- Attaching, unlike creating in place, does not wait for readers or writers of other slices; if other DDL is in
-- the way for 50 ms, it fails (55P03) and is called again.
create function ensure_usage_slices(p_days_ahead integer default 14) returns integer
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
  return v_made;
end
$$;
