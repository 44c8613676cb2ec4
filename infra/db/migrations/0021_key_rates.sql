-- policy: keep.usage; how much of its limits a key has used in the last minute, forgotten two minutes later
--
-- A limit of N a minute grants N in any 60 seconds. Replicas of the proxy take slices of it (functions/proxy/
-- rate-slices.ts), and a slice counts as used in the second in which it is taken; what was not used is given back to
-- that second. A replica that dies loses its slice until the minute has passed.

create type rate_unit as enum ('requests', 'tokens');

-- Unlogged: after a crash of the database limits begin anew, and nothing of it reaches the log, backups or a standby.
create unlogged table key_rates (
  key_id uuid not null references api_keys (id) on delete cascade,
  unit rate_unit not null,
  -- Since 1970: the second of the last element of counts. Before it stand the 60 seconds before, so that what is used
  -- at the end of a second counts for a whole minute too.
  second bigint not null,
  counts bigint[] not null constraint key_rates_a_minute check (cardinality(counts) = 61),
  primary key (key_id, unit)
) with (fillfactor = 50);

-- Takes slices, in the order of p_lines, a JSON array of {key_id, unit, first, waiting, ahead, ages: [seconds], amounts}.
-- Corrections come first: each amount (below zero: given back; above: used beyond what was taken) counts in the second
-- that was so long ago. Then `waiting` is granted as far as it goes, if it covers `first`, and when there is plenty, up
-- to `ahead` more: at most a hundredth of the limit, so that what idle replicas hold is a few percent of it, and of a
-- small limit nothing.
-- remaining: what is in no slice. wait_ms: until `first` will fit; 0 when it was granted. reset_ms: until all is free.
create function take_rates(p_lines jsonb)
returns table (granted bigint, remaining bigint, wait_ms integer, reset_ms integer)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  c_seconds constant integer := 61;
  -- For a key whose limit was just taken away; a JSON number.
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
      coalesce(case v_line.unit when 'requests' then k.requests_per_minute else k.tokens_per_minute end, c_unlimited)
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

-- Forgets keys of which nothing has been taken for two minutes, and answers how many rows that was.
create function forget_idle_rates() returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_forgotten integer;
begin
  delete from key_rates where second < extract(epoch from clock_timestamp()) - 120;
  get diagnostics v_forgotten = row_count;
  return v_forgotten;
end
$$;

grant execute on function take_rates(jsonb) to epithre_key_auth;
grant execute on function forget_idle_rates() to epithre_key_auth;

-- What is left of a month that is over, unless a lease still counts towards it, and of minutes that are, should
-- key-auth not have forgotten them: no limit of 90 days is waited for (keep.usage).
alter type purge_step add value 'key_use';

create function forget_key_use(p_run uuid, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_month constant date := date_trunc('month', now() at time zone 'UTC');
  v_forgotten integer;
begin
  -- The month is looked at again when the row was waited for: it may have begun a new one.
  delete from key_budgets
  where month < v_month and key_id in (
    select b.key_id from key_budgets b
    where b.month < v_month and not exists (select from leases l where l.key_id = b.key_id)
    limit p_rows_max
  );
  get diagnostics v_forgotten = row_count;
  v_forgotten := v_forgotten + forget_idle_rates();
  perform note_purge_step(p_run, 'key_use', null, v_forgotten);
  return v_forgotten;
end
$$;

grant execute on function forget_key_use(uuid, integer) to epithre_purge;
