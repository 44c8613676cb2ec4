-- policy: keep.billing, keep.usage (made anew from what is kept, for as long as it is; no statement is stored)
--
-- A monthly statement is arithmetic: the balance now, less what has come since. A month is the calendar's in Jakarta
-- (WIB, UTC+7). What is settled is settled within a day of its request, so what is older than a day does not change
-- any more: a month can be read in pieces once it has been over for a day, and each statement of it says the same.

alter type mail_template add value 'statement';

create function statement_start(p_month date) returns timestamptz language sql immutable strict parallel safe as $$
  select p_month::timestamp at time zone 'Asia/Jakarta'
$$;

-- The last month that has been over for a day: its first day.
create function last_statement_month() returns date language sql stable parallel safe as $$
  select (date_trunc('month', (now() - interval '1 day') at time zone 'Asia/Jakarta') - interval '1 month')::date
$$;

-- Whether every usage event since then is still there. Purge drops the oldest slices first, so the one of that time
-- says it for all; the one before it is asked for, so that nobody reads a slice that purge is about to drop. Before
-- the first migration there was no usage.
create function usage_is_whole_since(p_at timestamptz) returns boolean
language sql stable set search_path = public, pg_temp as $$
  select to_regclass(usage_slice_name(greatest(p_at - interval '4 hours', min(applied_at)))) is not null from migrations
$$;

-- The months of which an account can have statements, the last one first: over for a day, not before it was opened,
-- and with all usage since. To be asked again after reading, for purge may have come between.
create function statement_months(p_account uuid) returns setof date
language sql stable security definer set search_path = public, pg_temp as $$
  select m.month
  from accounts a
  cross join lateral (
    select (last_statement_month() - make_interval(months => age))::date as month from generate_series(0, 3) as age
  ) as m
  where a.id = p_account and a.status <> 'closed'
    and uuid_extract_timestamp(a.id) < statement_start((m.month + interval '1 month')::date)
    and usage_is_whole_since(statement_start(m.month))
  order by m.month desc
$$;

-- One plan for each call: only that locks no slice but those of its time.
create function usage_by_model(p_account uuid, p_from timestamptz, p_until timestamptz)
returns table (
  model text, requests bigint, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint,
  reasoning_tokens bigint, images bigint, cost_micro bigint
)
language sql stable security definer set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
  select
    m.name, u.requests, u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens, u.images, u.cost_micro
  from (
    select
      model_id, count(*) as requests, sum(prompt_tokens) as prompt_tokens, sum(cached_tokens) as cached_tokens,
      sum(completion_tokens) as completion_tokens, sum(reasoning_tokens) as reasoning_tokens, sum(images) as images,
      sum(cost_micro)::bigint as cost_micro
    from usage_events
    where account_id = p_account and id >= uuidv7_floor(p_from) and id < uuidv7_floor(p_until)
    group by model_id
  ) as u
  join models m on m.id = u.model_id
$$;

create function billing_events_between(p_account uuid, p_from timestamptz, p_until timestamptz)
returns table (created_at timestamptz, kind billing_kind, reason billing_reason, amount_micro bigint)
language sql stable security definer set search_path = public, pg_temp as $$
  select created_at, kind, reason, amount_micro
  from billing_events
  where account_id = p_account and created_at >= p_from and created_at < p_until
  order by created_at, id
$$;

-- What the balance was: the one of now, less what billing events have added since and with what calls have used. One
-- snapshot for all three, which a stable function shares with whoever calls it.
create function balance_at(p_account uuid, p_at timestamptz) returns bigint
language plpgsql stable security definer set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return balance_micro(p_account)
    - (select coalesce(sum(amount_micro), 0) from billing_events where account_id = p_account and created_at >= p_at)
    + (select coalesce(sum(cost_micro), 0) from usage_events where account_id = p_account and id >= uuidv7_floor(p_at));
end
$$;

-- How far the mail of a month has come: accounts opened before accounts_until have theirs queued; infinity is all.
create table statement_runs (
  month date primary key constraint statement_runs_month_begins check (extract(day from month) = 1),
  accounts_until timestamptz not null default '1970-01-01 00:00:00+00'
);

-- Looks at the next p_accounts_max accounts, in the order in which they were opened, and queues mail to those that had
-- usage or billing events in the month; false once there is nothing left to look at, or p_waiting_max statements wait
-- to be sent: other mail waits behind no more than those. Mail and note are one transaction, so nobody gets two or none.
-- Months follow each other without a gap from the first on; a month that nobody can have a statement of any more is
-- passed over.
create function queue_statement_mail(p_accounts_max integer, p_waiting_max integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  v_month date;
  v_from timestamptz;
  v_until timestamptz;
  v_accounts_from timestamptz;
  v_accounts_until timestamptz;
begin
  if (select count(*) from outbox where template = 'statement' and next_attempt_at <= now()) >= p_waiting_max then
    return false;
  end if;
  insert into statement_runs (month)
  select coalesce((max(month) + interval '1 month')::date, last_statement_month()) from statement_runs
  having coalesce((max(month) + interval '1 month')::date, last_statement_month()) <= last_statement_month()
    and coalesce(bool_and(accounts_until = 'infinity'), true)
  on conflict do nothing;
  select month, accounts_until into v_month, v_accounts_from
  from statement_runs where accounts_until < 'infinity' for update;
  if not found then
    return false;
  end if;
  v_from := statement_start(v_month);
  v_until := statement_start((v_month + interval '1 month')::date);
  if not usage_is_whole_since(v_from) then
    update statement_runs set accounts_until = 'infinity' where month = v_month;
    return true;
  end if;

  -- Up to the account before which p_accounts_max others were opened, with those of its millisecond.
  select uuid_extract_timestamp(id) + interval '1 millisecond' into v_accounts_until
  from accounts
  where id >= uuidv7_floor(v_accounts_from) and id < uuidv7_floor(v_until)
  order by id offset p_accounts_max - 1 limit 1;
  perform queue_mail(a.id, 'statement', p_month => v_month)
  from accounts a
  where a.id >= uuidv7_floor(v_accounts_from) and a.id < uuidv7_floor(least(v_accounts_until, v_until))
    and a.status <> 'closed'
    and (
      exists (
        select from billing_events e where e.account_id = a.id and e.created_at >= v_from and e.created_at < v_until
      )
      or exists (
        select from usage_events u
        where u.account_id = a.id and u.id >= uuidv7_floor(v_from) and u.id < uuidv7_floor(v_until)
      )
    );
  update statement_runs set accounts_until = coalesce(v_accounts_until, 'infinity') where month = v_month;
  return true;
end
$$;

grant execute on function statement_months(uuid) to epithre_billing;
grant execute on function usage_by_model(uuid, timestamptz, timestamptz) to epithre_billing;
grant execute on function billing_events_between(uuid, timestamptz, timestamptz) to epithre_billing;
grant execute on function balance_at(uuid, timestamptz) to epithre_billing;
grant execute on function queue_statement_mail(integer, integer) to epithre_notify;
