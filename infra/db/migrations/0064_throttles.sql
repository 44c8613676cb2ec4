-- policy: use.usage (answering abuse), keep.usage (that an account is throttled, until when and for which sign of abuse)
--
-- An account whose usage shows signs of abuse is slowed down for a while: all its keys together make so many requests a
-- minute. That ends by itself, and an operator can lift it before. The rules are data of admin (functions/admin/abuse.ts).

create table throttles (
  account_id uuid primary key references accounts (id) on delete cascade,
  signal abuse_signal not null,
  requests_per_minute integer not null check (requests_per_minute > 0),
  began_at timestamptz not null default now(),
  ends_at timestamptz not null,
  -- By an operator: it is not in force, and until its end none begins anew for what was seen before.
  lifted boolean not null default false,
  constraint throttles_are_bounded check (ends_at > began_at and ends_at <= began_at + interval '1 day')
);

grant select on throttles to epithre_key_auth;

-- Each sign of an account with what was counted of how many, and the share: calls that an engine refused for what was in
-- them, calls that their caller left, minutes in which a key used at least p_limit_share of its requests a minute. A
-- share that is null is not looked for.
create function abuse_signs(
  p_minutes integer, p_calls_min integer, p_error_share float8, p_left_share float8, p_limit_share float8, p_limited_minutes_min integer,
  out account_id uuid, out signal abuse_signal, out counted bigint, out of_total bigint, out share float8
) returns setof record language sql stable set search_path = public, pg_temp as $$
  with calls as (
    select
      u.account_id, u.key_id, date_trunc('minute', uuid_extract_timestamp(u.id)) as minute, count(*) as requests,
      count(*) filter (where u.status between 400 and 498) as refused, count(*) filter (where u.status = 499) as gone
    from usage_events u where u.id >= uuidv7_floor(now() - make_interval(mins => least(p_minutes, 60)))
    group by 1, 2, 3
  ), accounts_calls as (
    select c.account_id, sum(requests)::bigint as requests, sum(refused)::bigint as refused, sum(gone)::bigint as gone from calls c group by 1
  ), limited as (
    select c.account_id, count(distinct c.minute) as minutes
    from calls c join api_keys k on k.id = c.key_id
    where c.requests >= k.requests_per_minute * p_limit_share
    group by 1
  )
  select c.account_id, 'errors'::abuse_signal as signal, refused as counted, requests as of_total, refused::float8 / requests as share
  from accounts_calls c where requests >= p_calls_min and refused >= requests * p_error_share
  union all
  select c.account_id, 'left', gone, requests, gone::float8 / requests
  from accounts_calls c where requests >= p_calls_min and gone >= requests * p_left_share
  union all
  select l.account_id, 'rate_limit', minutes, p_minutes, minutes::float8 / p_minutes
  from limited l where minutes >= p_limited_minutes_min
$$;

-- As in 0059: worst first, 100 at most. Leaves a row, for it names accounts.
create or replace function admin_list_abuse(
  p_minutes integer, p_calls_min integer, p_error_share float8, p_left_share float8, p_limit_share float8, p_limited_minutes_min integer,
  out account_id uuid, out status account_status, out signal abuse_signal, out counted bigint, out of_total bigint
) returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform append_audit('abuse_viewed');
  return query
  select s.account_id, a.status, s.signal, s.counted, s.of_total
  from abuse_signs(p_minutes, p_calls_min, p_error_share, p_left_share, p_limit_share, p_limited_minutes_min) s
  join accounts a on a.id = s.account_id
  order by s.share desc, s.account_id limit 100;
end
$$;

-- Throttles active accounts with a sign for p_throttle_minutes, each for its worst; answers how many. An account that has
-- a throttle keeps it as it is. What has ended goes. Whoever calls it meanwhile does nothing.
create function throttle_abusers(
  p_minutes integer, p_calls_min integer, p_error_share float8, p_left_share float8, p_limit_share float8, p_limited_minutes_min integer,
  p_requests_per_minute integer, p_throttle_minutes integer
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_throttled integer;
begin
  if not pg_try_advisory_xact_lock(hashtext('throttles')) then
    return 0;
  end if;
  delete from throttles where ends_at <= now();
  with begun as (
    insert into throttles (account_id, signal, requests_per_minute, ends_at)
    select distinct on (s.account_id)
      s.account_id, s.signal, p_requests_per_minute, now() + make_interval(mins => p_throttle_minutes)
    from abuse_signs(p_minutes, p_calls_min, p_error_share, p_left_share, p_limit_share, p_limited_minutes_min) s
    join accounts a on a.id = s.account_id and a.status = 'active'
    order by s.account_id, s.share desc
    on conflict (account_id) do nothing
    returning account_id
  )
  -- The change feed of key-auth names whoever changes.
  update accounts a set status = a.status from begun b where a.id = b.account_id;
  get diagnostics v_throttled = row_count;
  return v_throttled;
end
$$;

-- Ends a throttle that is in force. EP404: the account has none.
create function admin_lift_throttle(p_account uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update throttles set lifted = true where account_id = p_account and ends_at > now() and not lifted;
  if not found then
    raise exception 'Cannot lift throttle: the account has none' using errcode = 'EP404';
  end if;
  update accounts set status = status where id = p_account;
  perform append_audit('throttle_lifted', p_account);
end
$$;

-- Newest first, 100 at most. The caller looks at abuse, and is noted there.
create function admin_list_throttles() returns setof throttles
language sql stable security definer set search_path = public, pg_temp as $$
  select * from throttles where ends_at > now() order by began_at desc, account_id limit 100
$$;

-- Deletes up to p_rows_max throttles that have ended, and answers how many. EP409: the run may not delete.
create function delete_ended_throttles(p_run uuid, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_deleted integer;
begin
  perform purge_cutoff(p_run, 'accounts', 1, 0);
  delete from throttles where account_id in (
    select account_id from throttles where ends_at <= now() order by ends_at limit p_rows_max
  );
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, 'throttles', null, v_deleted);
  return v_deleted;
end
$$;

-- As in 0021, with the requests a minute of a throttled account: all its keys take from one of them, the oldest.
create or replace function take_rates(p_lines jsonb)
returns table (granted bigint, remaining bigint, wait_ms integer, reset_ms integer)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  c_seconds constant integer := 61;
  -- For a key whose limit was just taken away, or has ended; a JSON number.
  c_unlimited constant bigint := 9007199254740991;
  v_line record;
  v_correction record;
  v_part bigint;
  v_counts bigint[];
  v_second bigint;
  v_now_ms bigint;
  v_shift integer;
  v_at integer;
  v_limit bigint;
  v_missing bigint;
begin
  insert into key_rates (key_id, unit, second, counts)
  select k.id, l.unit, 0, array_fill(0::bigint, array[c_seconds])
  from (select distinct key_id, unit from jsonb_to_recordset(p_lines) as (key_id uuid, unit rate_unit)) as l
  join api_keys k on k.id = l.key_id
  order by k.id, l.unit
  on conflict do nothing;
  perform from key_rates
  where (key_id, unit) in (select key_id, unit from jsonb_to_recordset(p_lines) as (key_id uuid, unit rate_unit))
  order by key_id, unit for update;
  v_now_ms := floor(extract(epoch from clock_timestamp()) * 1000);

  for v_line in
    select l.* from rows from (
      jsonb_to_recordset(p_lines) as (
        key_id uuid, unit rate_unit, first bigint, waiting bigint, ahead bigint, ages integer[], amounts bigint[]
      )
    ) with ordinality as l (key_id, unit, first, waiting, ahead, ages, amounts, position)
    order by l.position
  loop
    select
      r.counts, r.second,
      coalesce(
        case v_line.unit
          when 'requests' then k.requests_per_minute
          when 'tokens' then k.tokens_per_minute
          else (select t.requests_per_minute from throttles t where t.account_id = k.account_id and t.ends_at > now() and not t.lifted)
        end,
        c_unlimited
      )
    into v_counts, v_second, v_limit
    from key_rates r join api_keys k on k.id = r.key_id
    where r.key_id = v_line.key_id and r.unit = v_line.unit;
    if not found then
      -- The key is gone: its callers are about to be told so.
      granted := 0;
      remaining := 0;
      wait_ms := c_seconds * 1000;
      reset_ms := c_seconds * 1000;
      return next;
      continue;
    end if;

    v_shift := least(greatest(v_now_ms / 1000 - v_second, 0), c_seconds);
    v_second := greatest(v_now_ms / 1000, v_second);
    v_counts := v_counts[v_shift + 1 : c_seconds] || array_fill(0::bigint, array[v_shift]);
    for v_correction in select * from unnest(v_line.ages, v_line.amounts) as c (age, amount) loop
      v_at := c_seconds - v_correction.age;
      if v_correction.amount > 0 then
        v_counts[greatest(v_at, 1)] := v_counts[greatest(v_at, 1)] + v_correction.amount;
      end if;
      -- The replica's seconds begin at another moment than these: what is not found in one is looked for in the next.
      for v_near in greatest(v_at - 1, 1) .. least(v_at + 2, c_seconds) loop
        exit when v_correction.amount >= 0;
        v_part := least(v_counts[v_near], -v_correction.amount);
        v_counts[v_near] := v_counts[v_near] - v_part;
        v_correction.amount := v_correction.amount + v_part;
      end loop;
    end loop;

    remaining := v_limit - (select sum(n) from unnest(v_counts) as n);
    v_missing := v_line.first - remaining;
    granted := 0;
    if v_missing <= 0 then
      granted := least(v_line.waiting, remaining);
      if granted = v_line.waiting then
        granted := granted + least(v_line.ahead, v_limit / 100, (remaining - granted) / 8);
      end if;
      v_counts[c_seconds] := v_counts[c_seconds] + granted;
    end if;
    -- The nth count leaves after n seconds, less what has passed of this one.
    select
      case when v_missing > 0
        then coalesce(min(n) filter (where freed >= v_missing), c_seconds) * 1000 - v_now_ms % 1000 else 0 end,
      coalesce(max(n) filter (where used > 0) * 1000 - v_now_ms % 1000, 0)
    into wait_ms, reset_ms
    from (
      select n, used, sum(used) over (order by n) as freed from unnest(v_counts) with ordinality as c (used, n)
    ) as counted;
    remaining := greatest(0, remaining - granted);
    update key_rates r set second = v_second, counts = v_counts where r.key_id = v_line.key_id and r.unit = v_line.unit;
    return next;
  end loop;
end
$$;

grant execute on function throttle_abusers(integer, integer, float8, float8, float8, integer, integer, integer) to epithre_admin;
grant execute on function admin_lift_throttle(uuid) to epithre_admin;
grant execute on function admin_list_throttles() to epithre_admin;
grant execute on function delete_ended_throttles(uuid, integer) to epithre_purge;
