-- policy: as 0005, 0006 and 0020; no new data
--
-- Calls of several replicas in one transaction: all that they ask for, give back and close of one account is one change of
-- its balances, and one commit. Each row names its replica, and each call is answered as if it had come alone.
--
-- What nearly every batch is like is done in a set; where not all that is wanted can be granted, requests are looked at
-- one by one (0060). Locks are taken in the order of 0005.

drop function lease_grant(uuid, interval, jsonb);
drop function lease_grant_one_by_one(uuid, interval, jsonb);
drop function lease_sync(uuid, interval, lease_report[]);
drop type lease_report;

-- What becomes of one lease, each named once: functions/billing/lease-changes.ts. A new one is made. One that is asked for
-- (largest_micro is not null) grows by granted_micro, of which largest_micro is the largest part that is wanted at once;
-- one that is reported on is renewed, shrunk or closed, and may have no account_id.
create type lease_change as (
  lease_id uuid,
  is_new boolean,
  replica_id uuid,
  account_id uuid,
  granted_micro bigint,
  largest_micro bigint,
  renew boolean,
  returned_micro bigint,
  recall_answered boolean,
  closing boolean
);

-- What a replica asks of an account, where it may get less than it wants: functions/billing/schema.ts, LeaseRequest.
create type lease_request as (
  replica_id uuid,
  account_id uuid,
  key_id uuid,
  lease_id uuid,
  needs bigint[],
  want_micro bigint
);

-- Looked up for each new lease, though leases are made under the lock of the account's balances only. What it kept from
-- being deleted is kept by a trigger, which runs when an account is erased.
alter table leases drop constraint leases_account_id_fkey;

create function refuse_leased_balance_deletion() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if exists (select from leases where account_id = old.account_id) then
    raise exception 'Cannot delete balance: some of it is leased' using errcode = 'foreign_key_violation';
  end if;
  return old;
end
$$;

create trigger balances_leased before delete on balances for each row execute function refuse_leased_balance_deletion();

-- The planner took it to find one lease of a replica by reading all of them. What it was made for are the few that are
-- recalled.
drop index leases_replica;
create index leases_recalled on leases (replica_id) where recall_requested_at is not null and recall_answered_at is null;

-- Grants in the order of p_requests, whose accounts and their leases the caller has locked; key_id where the key has a
-- budget. A grant covers the longest prefix of the needs that the account can pay, within the budget. When it covers them
-- all and plenty is left, it adds up to `want`; near zero it is exact, so that no fragment too small for a request is
-- stuck in a lease.
create function grant_leases_one_by_one(p_ttl interval, p_requests lease_request[])
returns table (outcome text, lease_id uuid, granted_micro bigint, needs_covered integer, available_micro bigint)
language plpgsql as $$
declare
  -- Amounts leave the database as JSON numbers: a grant never exceeds 2^53 - 1.
  c_grant_micro_max constant bigint := 9007199254740991;
  v_request lease_request;
  v_account_micro bigint;
  v_budget_micro bigint;
  v_need bigint;
  v_largest_need bigint;
  v_spare bigint;
  v_within_budget boolean;
begin
  foreach v_request in array p_requests loop
    perform close_expired_leases_of(v_request.account_id);
    v_account_micro := coalesce((
      select least(b.credited_micro - b.consumed_micro - b.leased_micro, c_grant_micro_max)
      from balances b where b.account_id = v_request.account_id
    ), -1);
    v_budget_micro := null;
    if v_request.key_id is not null then
      v_budget_micro := open_key_budget(v_request.account_id, v_request.key_id);
    end if;
    -- `least` passes over null.
    available_micro := least(v_account_micro, v_budget_micro);
    granted_micro := 0;
    needs_covered := 0;
    v_largest_need := 0;
    foreach v_need in array v_request.needs loop
      exit when v_need > available_micro - granted_micro;
      granted_micro := granted_micro + v_need;
      needs_covered := needs_covered + 1;
      v_largest_need := greatest(v_largest_need, v_need);
    end loop;
    lease_id := null;
    if needs_covered = 0 then
      available_micro := greatest(available_micro, 0);
      v_within_budget := v_request.needs[1] <= v_account_micro;
      outcome := case
        when recall_leases(v_request.account_id, v_request.replica_id, v_request.key_id, v_within_budget) then 'recalling'
        when v_within_budget then 'over_budget'
        else 'insufficient'
      end;
      return next;
      continue;
    end if;
    outcome := 'granted';
    v_spare := (available_micro - granted_micro) / 4;
    if needs_covered = cardinality(v_request.needs) and v_spare >= v_largest_need then
      granted_micro := granted_micro + least(v_request.want_micro, v_spare);
    end if;
    update balances b set leased_micro = b.leased_micro + grant_leases_one_by_one.granted_micro
    where b.account_id = v_request.account_id;
    update leases l set
      granted_micro = l.granted_micro + grant_leases_one_by_one.granted_micro,
      expires_at = greatest(l.expires_at, now() + p_ttl)
    where l.id = v_request.lease_id and l.account_id is not distinct from v_request.account_id
      and l.replica_id = v_request.replica_id and l.key_id is not distinct from v_request.key_id
      and l.granted_micro + grant_leases_one_by_one.granted_micro <= c_grant_micro_max
    returning l.id into lease_id;
    if lease_id is null then
      insert into leases as l (account_id, replica_id, key_id, granted_micro, expires_at)
      values (
        v_request.account_id, v_request.replica_id, v_request.key_id, grant_leases_one_by_one.granted_micro, now() + p_ttl
      )
      returning l.id into lease_id;
    end if;
    return next;
  end loop;
end
$$;

-- Makes the changes in a set, in the order of leases, then grants what p_requests ask for, one by one. Raises EP000, and
-- does nothing, where a change may give more than one by one would: where an account has not four times as much left, or a
-- lease that has expired, and where a lease that shall grow is gone or another's. Such a batch comes again with its requests
-- in p_requests.
--
-- Answers which of the leases reported on still live, which leases of the replicas p_asking have idle money that is
-- wanted elsewhere, and for each of p_requests what it got.
create function lease_move(
  p_ttl interval, p_changes lease_change[], p_requests lease_request[], p_asking uuid[],
  out living uuid[], out recalled uuid[], out recalled_of uuid[],
  out outcomes text[], out leases uuid[], out granted bigint[], out covered integer[], out available bigint[]
)
-- Plans that hold whatever the statistics say of tables whose rows live for seconds: leases are looked up, row by row.
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off as $$
declare
  -- As in grant_leases_one_by_one().
  c_grant_micro_max constant bigint := 9007199254740991;
  v_one_by_one boolean := cardinality(p_requests) > 0;
  v_accounts uuid[];
  v_asked integer;
  v_is_done boolean;
begin
  select array_agg(account_id) filter (where largest_micro is not null or closing or returned_micro > 0), count(largest_micro)
  into v_accounts, v_asked
  from unnest(p_changes);
  if v_one_by_one or array_position(v_accounts, null) > 0 then
    v_accounts := array(
      select account_id from unnest(p_requests)
      union
      select account_id from unnest(p_changes) where largest_micro is not null
      union
      select account_id from leases where id = any (array(select lease_id from unnest(p_changes)))
    );
  end if;
  perform from balances where account_id = any (v_accounts) order by account_id for no key update;
  if v_one_by_one then
    perform from leases
    where id in (select id from leases where account_id = any (v_accounts) union select lease_id from unnest(p_changes))
    order by id for update;
  elsif v_asked > 0 and exists (select from leases where account_id = any (v_accounts) and expires_at <= now()) then
    raise exception using errcode = 'EP000';
  end if;

  with moved as (
    merge into leases l
    using (select * from unnest(p_changes) order by lease_id) as c
    on l.id = c.lease_id
    when matched and (
      l.replica_id <> c.replica_id or l.expires_at <= now() or l.account_id <> c.account_id
      or c.largest_micro is not null and (l.key_id is not null or l.granted_micro + c.granted_micro > c_grant_micro_max)
    ) then do nothing
    when matched and c.closing then delete
    when matched then update set
      granted_micro = l.granted_micro + c.granted_micro - least(c.returned_micro, l.granted_micro - l.consumed_micro),
      expires_at = case when c.renew then greatest(l.expires_at, now() + p_ttl) else l.expires_at end,
      recall_answered_at = case when c.recall_answered then now() else l.recall_answered_at end
    when not matched and c.is_new then
      insert (id, account_id, replica_id, granted_micro, expires_at)
      values (c.lease_id, c.account_id, c.replica_id, c.granted_micro, now() + p_ttl)
    returning
      c.largest_micro, new.id, coalesce(new.account_id, old.account_id) as account_id,
      coalesce(new.granted_micro, 0) - coalesce(old.granted_micro, 0) as leased_micro,
      case when new.id is null then old.consumed_micro else 0 end as consumed_micro
  ), booked as (
    update balances b set
      leased_micro = b.leased_micro + m.leased_micro,
      consumed_micro = b.consumed_micro + m.consumed_micro
    from (
      select
        account_id, sum(leased_micro)::bigint as leased_micro, sum(consumed_micro)::bigint as consumed_micro,
        max(largest_micro) as largest_micro
      from moved group by account_id
      having max(largest_micro) is not null or sum(leased_micro) <> 0
    ) as m
    where b.account_id = m.account_id
    returning b.account_id, m.largest_micro, b.credited_micro - b.consumed_micro - b.leased_micro as available_micro
  )
  select
    array(select id from moved where largest_micro is null and id is not null),
    (select count(largest_micro) from moved) = v_asked
      and not exists (select from booked where available_micro < 4 * largest_micro)
      and (select count(*) from booked where largest_micro is not null)
        = (select count(distinct account_id) from moved where largest_micro is not null)
  into living, v_is_done;
  if not v_is_done then
    raise exception using errcode = 'EP000';
  end if;

  if v_one_by_one then
    select
      array_agg(g.outcome), array_agg(g.lease_id), array_agg(g.granted_micro), array_agg(g.needs_covered),
      array_agg(g.available_micro)
    into outcomes, leases, granted, covered, available
    from grant_leases_one_by_one(p_ttl, p_requests) as g;
  end if;
  if cardinality(p_asking) > 0 then
    select array_agg(id order by id), array_agg(replica_id order by id) into recalled, recalled_of
    from leases
    where replica_id = any (p_asking) and expires_at > now()
      and recall_requested_at is not null and recall_answered_at is null;
  end if;
end
$$;

grant execute on function lease_move(interval, lease_change[], lease_request[], uuid[]) to epithre_billing;
