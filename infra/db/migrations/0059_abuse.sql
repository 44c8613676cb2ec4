-- policy: use.usage (finding and answering abuse), keep.usage; nothing is stored
--
-- Accounts whose usage of the last minutes looks like abuse, by metadata alone. The thresholds are data of admin
-- (functions/admin/abuse.ts).

create type abuse_signal as enum ('errors', 'left', 'rate_limit');

-- Each signal of an account with what was counted of how many: calls that an engine refused for what was in them, calls
-- that their caller left, minutes in which a key used at least p_limit_share of its requests a minute. Worst first, 100 at
-- most. Leaves a row, for it names accounts.
create function admin_list_abuse(
  p_minutes integer, p_calls_min integer, p_error_share float8, p_left_share float8, p_limit_share float8, p_limited_minutes_min integer,
  out account_id uuid, out status account_status, out signal abuse_signal, out counted bigint, out of_total bigint
) returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_from uuid := uuidv7_floor(now() - make_interval(mins => least(p_minutes, 60)));
begin
  perform append_audit('abuse_viewed');
  return query
  with calls as (
    select
      u.account_id, u.key_id, date_trunc('minute', uuid_extract_timestamp(u.id)) as minute, count(*) as requests,
      count(*) filter (where u.status between 400 and 498) as refused, count(*) filter (where u.status = 499) as gone
    from usage_events u where u.id >= v_from
    group by 1, 2, 3
  ), accounts_calls as (
    select c.account_id, sum(requests)::bigint as requests, sum(refused)::bigint as refused, sum(gone)::bigint as gone from calls c group by 1
  ), limited as (
    select c.account_id, count(distinct c.minute) as minutes
    from calls c join api_keys k on k.id = c.key_id
    where c.requests >= k.requests_per_minute * p_limit_share
    group by 1
  ), found as (
    select c.account_id, 'errors'::abuse_signal as signal, refused as counted, requests as of_total, refused::float8 / requests as share
    from accounts_calls c where requests >= p_calls_min and refused >= requests * p_error_share
    union all
    select c.account_id, 'left', gone, requests, gone::float8 / requests
    from accounts_calls c where requests >= p_calls_min and gone >= requests * p_left_share
    union all
    select l.account_id, 'rate_limit', minutes, p_minutes, minutes::float8 / p_minutes
    from limited l where minutes >= p_limited_minutes_min
  )
  select f.account_id, a.status, f.signal, f.counted, f.of_total
  from found f join accounts a on a.id = f.account_id
  order by f.share desc, f.account_id limit 100;
end
$$;

grant execute on function admin_list_abuse(integer, integer, float8, float8, float8, integer) to epithre_admin;
