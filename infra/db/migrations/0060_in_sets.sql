-- policy: as 0005 and 0006; no new data
--
-- What nearly every batch is like, done in sets: settlements that no one has settled before, on leases that can pay for
-- them, and grants for accounts with plenty. A batch with anything else in it is done as before, from its beginning: what
-- was tried is rolled back. Both answer the same, so none but the time tells them apart.
--
-- Nested loops over sorted rows keep the order of locks (0005): a hash join would take them in any. And they use the
-- indexes whatever the statistics say of tables whose rows live for seconds.

alter function settle(settlement[]) rename to settle_one_by_one;
revoke execute on function settle_one_by_one(settlement[]) from epithre_usage_record;

create function settle(p_batch settlement[])
returns table (row_number bigint, outcome settle_outcome, charged_micro bigint)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_events bigint;
  v_all_paid boolean;
begin
  begin
    -- Ids in order: two batches with the same ids wait for each other one way only.
    insert into usage_events (
      id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
      reasoning_tokens, images, latency_ms, endpoint, model_id, status
    )
    select
      i.request_id, i.account_id, i.key_id, i.cost_micro, i.price_version, i.prompt_tokens, i.cached_tokens, i.completion_tokens,
      i.reasoning_tokens, i.images, i.latency_ms, i.endpoint, m.id, i.status
    from unnest(p_batch) as i
    join models m on m.name = i.model
    order by i.request_id;
    get diagnostics v_events = row_count;

    with due as materialized (
      select lease_id, account_id, sum(cost_micro)::bigint as cost_micro
      from unnest(p_batch)
      group by lease_id, account_id
      order by lease_id, account_id
    ), paid as (
      -- The account of a lease exists; that of a row that costs nothing may not, nor its lease.
      update leases l set consumed_micro = l.consumed_micro + d.cost_micro
      from due d
      where d.cost_micro > 0 and l.id = d.lease_id and l.account_id = d.account_id
        and l.granted_micro - l.consumed_micro >= d.cost_micro
      returning 1
    )
    select
      (select count(*) from paid) + (select count(*) from due d join accounts a on a.id = d.account_id where d.cost_micro = 0)
        = (select count(*) from due)
    into v_all_paid;

    if v_events = cardinality(p_batch) and v_all_paid then
      return;
    end if;
    raise exception using errcode = 'EP000';
  exception
    -- An id that is there already; an id of no slice (or an amount that no event can have).
    when unique_violation or check_violation or sqlstate 'EP000' then null;
  end;
  return query select * from settle_one_by_one(p_batch);
end
$$;

grant execute on function settle(settlement[]) to epithre_usage_record;

-- Its columns are named by its own name inside, which a new name must reach too.
do $do$
begin
  execute replace(
    pg_get_functiondef('lease_grant(uuid, interval, jsonb)'::regprocedure), 'lease_grant', 'lease_grant_one_by_one'
  );
end
$do$;
drop function lease_grant(uuid, interval, jsonb);

-- In sets where each account is asked for once, without a budget, has four times as much as is wanted and no lease that
-- has expired, and each lease that shall grow is its own: then all that is wanted is granted.
create function lease_grant(p_replica uuid, p_ttl interval, p_requests jsonb)
returns table (outcome text, lease_id uuid, granted_micro bigint, needs_covered integer, available_micro bigint)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  -- As in lease_grant_one_by_one().
  c_grant_micro_max constant bigint := 9007199254740991;
  v_leases uuid[];
  v_granted bigint[];
  v_covered integer[];
  v_available bigint[];
  v_written bigint;
begin
  begin
    with asked as materialized (
      select r.account_id, r.lease_id, r.want, r.position, needs.total, needs.largest, cardinality(r.needs) as needs
      from rows from (
        jsonb_to_recordset(p_requests) as (account_id uuid, key_id uuid, lease_id uuid, needs bigint[], want bigint)
      ) with ordinality as r (account_id, key_id, lease_id, needs, want, position)
      cross join lateral (select sum(need) as total, max(need) as largest from unnest(r.needs) as need) as needs
      where r.key_id is null
      order by r.account_id
    ), granted as materialized (
      update balances b set leased_micro = b.leased_micro + a.total + a.want
      from asked a
      where b.account_id = a.account_id
        and least(b.credited_micro - b.consumed_micro - b.leased_micro, c_grant_micro_max) - a.total >= 4 * greatest(a.want, a.largest)
        -- Counted, for the planner turns "not exists" into a join that reads all leases for each account.
        and (select count(*) from leases e where e.account_id = a.account_id and e.expires_at <= now()) = 0
      returning
        a.account_id, a.lease_id, coalesce(a.lease_id, uuidv7()) as id, a.position, a.needs,
        new.leased_micro - old.leased_micro as micro,
        least(old.credited_micro - old.consumed_micro - old.leased_micro, c_grant_micro_max) as available
    ), by_lease as materialized (
      select g.* from granted g where g.lease_id is not null order by g.lease_id
    ), grown as (
      update leases l set
        granted_micro = l.granted_micro + g.micro,
        expires_at = greatest(l.expires_at, now() + p_ttl)
      from by_lease g
      where l.id = g.lease_id and l.account_id = g.account_id and l.replica_id = p_replica and l.key_id is null
        and l.granted_micro + g.micro <= c_grant_micro_max
      returning 1
    ), made as (
      insert into leases (id, account_id, replica_id, granted_micro, expires_at)
      select g.id, g.account_id, p_replica, g.micro, now() + p_ttl
      from granted g
      where g.lease_id is null
      returning 1
    )
    select
      array_agg(g.id order by g.position), array_agg(g.micro order by g.position),
      array_agg(g.needs order by g.position), array_agg(g.available order by g.position),
      (select count(*) from grown) + (select count(*) from made)
    into v_leases, v_granted, v_covered, v_available, v_written
    from granted g;

    if v_written < jsonb_array_length(p_requests) then
      raise exception using errcode = 'EP000';
    end if;
    return query select 'granted', * from unnest(v_leases, v_granted, v_covered, v_available);
    return;
  exception
    when sqlstate 'EP000' then null;
  end;
  return query select * from lease_grant_one_by_one(p_replica, p_ttl, p_requests);
end
$$;

grant execute on function lease_grant(uuid, interval, jsonb) to epithre_billing;

-- As 0005, less what a call has no use for: nearly all renew leases only.
create or replace function lease_sync(
  p_replica uuid, p_ttl interval, p_reports lease_report[], out gone boolean[], out recalled uuid[]
)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_leases uuid[] := array(select lease_id from unnest(p_reports));
  v_closing boolean;
  v_returning boolean;
begin
  select bool_or(closing), bool_or(returned_micro > 0 and not closing) into v_closing, v_returning from unnest(p_reports);
  if v_closing or v_returning then
    perform from balances where account_id in (
      select l.account_id
      from unnest(p_reports) as r
      join leases l on l.id = r.lease_id and l.replica_id = p_replica
      where r.returned_micro > 0 or r.closing
    ) order by account_id for no key update;
  end if;
  perform from leases where id = any (v_leases) and replica_id = p_replica order by id for update;

  if v_closing then
    with closed as (
      delete from leases l
      using unnest(p_reports) as r
      where l.id = r.lease_id and r.closing and l.replica_id = p_replica and l.expires_at > now()
      returning l.account_id, l.granted_micro, l.consumed_micro
    )
    update balances b set
      leased_micro = b.leased_micro - moved.granted,
      consumed_micro = b.consumed_micro + moved.consumed
    from (
      select account_id, sum(granted_micro) as granted, sum(consumed_micro) as consumed from closed group by account_id
    ) as moved
    where b.account_id = moved.account_id;
  end if;

  with reported as (
    update leases l set
      granted_micro = l.granted_micro - least(r.returned_micro, l.granted_micro - l.consumed_micro),
      expires_at = case when r.renew then greatest(l.expires_at, now() + p_ttl) else l.expires_at end,
      recall_answered_at = case when r.recall_answered then now() else l.recall_answered_at end
    from unnest(p_reports) as r
    where l.id = r.lease_id and not r.closing and l.replica_id = p_replica and l.expires_at > now()
    returning l.account_id, old.granted_micro - new.granted_micro as returned_micro
  )
  update balances b set leased_micro = b.leased_micro - moved.returned
  from (select account_id, sum(returned_micro) as returned from reported group by account_id) as moved
  where b.account_id = moved.account_id and moved.returned > 0;

  gone := array(
    select l.id is null
    from unnest(v_leases) with ordinality as r (lease_id, position)
    left join leases l on l.id = r.lease_id and l.replica_id = p_replica and l.expires_at > now()
    order by r.position
  );
  recalled := array(
    select id from leases
    where replica_id = p_replica and expires_at > now() and recall_requested_at is not null and recall_answered_at is null
    order by id
  );
end
$$;
