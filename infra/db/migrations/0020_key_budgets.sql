-- policy: keep.usage (what a key has spent of its monthly budget: one sum, forgotten when the month is over),
-- keep.key (a key's limits count as its scopes)
--
-- A budget is kept as the balance is: what a key with a budget may spend is leased. Its leases name the key, and a
-- grant needs money of the account and room in the budget: of the budget there is left what was neither spent nor
-- leased. Requests without a budget go the way of 0005, unchanged.
--
-- Everything here runs under the lock of the account's balances row, so leases can be summed up.

-- Micro-rupiah a month (UTC, by this clock); null: no budget.
alter table api_keys add column monthly_budget_micro bigint check (monthly_budget_micro >= 0);

-- Null: a lease for all keys of the account that have no budget. No foreign key: a lease lives for seconds, and ends
-- whether there still is a key or not.
alter table leases add column key_id uuid;
create index leases_key on leases (key_id) where key_id is not null;

-- One row for a key with a budget, about one month. The month of a call is the one in which its money was leased.
-- spent_micro: by leases that have ended; a month begins with what open ones have consumed before it taken off, so
-- that they can end in it without counting twice.
create table key_budgets (
  key_id uuid primary key references api_keys (id) on delete cascade,
  month date not null,
  spent_micro bigint not null
) with (fillfactor = 50);

create function count_ended_lease() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  update key_budgets set spent_micro = spent_micro + old.consumed_micro where key_id = old.key_id;
  return null;
end
$$;

create trigger leases_count_ended after delete on leases
  for each row when (old.key_id is not null) execute function count_ended_lease();

-- What is left of the key's budget this month; null where it has none. Begins the month when it is new; a clock that
-- goes back begins none.
create function open_key_budget(p_account uuid, p_key uuid) returns bigint
language plpgsql set search_path = public, pg_temp as $$
declare
  v_budget bigint := (select monthly_budget_micro from api_keys where id = p_key and account_id = p_account);
begin
  if v_budget is null then
    return null;
  end if;
  insert into key_budgets as b (key_id, month, spent_micro)
  values (
    p_key, date_trunc('month', now() at time zone 'UTC'),
    -coalesce((select sum(consumed_micro) from leases where key_id = p_key), 0)
  )
  on conflict (key_id) do update set month = excluded.month, spent_micro = excluded.spent_micro
  where b.month < excluded.month;
  return greatest(0, v_budget
    - (select spent_micro from key_budgets where key_id = p_key)
    - coalesce((select sum(granted_micro) from leases where key_id = p_key), 0));
end
$$;

-- Asks for idle money: of the account, or (p_within_budget) of the key's own leases, which other replicas hold. Not
-- asked is what this replica itself spends for the same key, or for all keys without a budget. True while an answer is
-- awaited; false when each has answered within the last second (or has nothing idle): then there is no more to be had.
drop function recall_leases(uuid, uuid);
create function recall_leases(p_account uuid, p_replica uuid, p_key uuid, p_within_budget boolean) returns boolean
language plpgsql set search_path = public, pg_temp as $$
begin
  update leases set recall_requested_at = now(), recall_answered_at = null
  where account_id = p_account and (replica_id, key_id) is distinct from (p_replica, p_key)
    and (key_id = p_key or not p_within_budget)
    and granted_micro > consumed_micro
    and (recall_requested_at is null or recall_requested_at <= now() - interval '1 second');
  return exists (
    select from leases
    where account_id = p_account and (replica_id, key_id) is distinct from (p_replica, p_key)
      and (key_id = p_key or not p_within_budget)
      and recall_requested_at is not null and recall_answered_at is null
  );
end
$$;

-- Grants in the order of p_requests, a JSON array of
-- {account_id, key_id | null, lease_id | null, needs: [micro], want: micro}; key_id where the key has a budget.
-- A grant covers the longest prefix of the needs that the account can pay, within the budget. When it covers them all
-- and plenty is left, it adds up to `want`; near zero it is exact, so that no fragment too small for a request is
-- stuck in a lease.
create or replace function lease_grant(p_replica uuid, p_ttl interval, p_requests jsonb)
returns table (outcome text, lease_id uuid, granted_micro bigint, needs_covered integer, available_micro bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  -- Amounts leave the database as JSON numbers: a grant never exceeds 2^53 - 1.
  c_grant_micro_max constant bigint := 9007199254740991;
  v_accounts uuid[] := array(select (request ->> 'account_id')::uuid from jsonb_array_elements(p_requests) as request);
  v_request record;
  v_account_micro bigint;
  v_budget_micro bigint;
  v_need bigint;
  v_largest_need bigint;
  v_spare bigint;
begin
  perform from balances where account_id = any (v_accounts) order by account_id for no key update;
  perform from leases where account_id = any (v_accounts) order by id for update;
  for v_request in
    select r.* from rows from (
      jsonb_to_recordset(p_requests) as (account_id uuid, key_id uuid, lease_id uuid, needs bigint[], want bigint)
    ) with ordinality as r (account_id, key_id, lease_id, needs, want, position)
    order by r.position
  loop
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
      if v_request.needs[1] > v_account_micro then
        outcome := case
          when recall_leases(v_request.account_id, p_replica, v_request.key_id, false) then 'recalling' else 'insufficient'
        end;
      else
        outcome := case
          when recall_leases(v_request.account_id, p_replica, v_request.key_id, true) then 'recalling' else 'over_budget'
        end;
      end if;
      return next;
      continue;
    end if;
    outcome := 'granted';
    v_spare := (available_micro - granted_micro) / 4;
    if needs_covered = cardinality(v_request.needs) and v_spare >= v_largest_need then
      granted_micro := granted_micro + least(v_request.want, v_spare);
    end if;
    update balances b set leased_micro = b.leased_micro + lease_grant.granted_micro
    where b.account_id = v_request.account_id;
    update leases l set
      granted_micro = l.granted_micro + lease_grant.granted_micro,
      expires_at = greatest(l.expires_at, now() + p_ttl)
    where l.id = v_request.lease_id and l.account_id = v_request.account_id and l.replica_id = p_replica
      and l.key_id is not distinct from v_request.key_id
      and l.granted_micro + lease_grant.granted_micro <= c_grant_micro_max
    returning l.id into lease_id;
    if lease_id is null then
      insert into leases as l (account_id, replica_id, key_id, granted_micro, expires_at)
      values (v_request.account_id, p_replica, v_request.key_id, lease_grant.granted_micro, now() + p_ttl)
      returning l.id into lease_id;
    end if;
    return next;
  end loop;
end
$$;

-- Settles what a lease could not pay: takes what it still has, then what the account has available, within the budget
-- of the key (null: of keys without one), and books the rest as the operator's loss. The rows that come last bear the
-- loss. Balances are locked after leases here, against the order of 0005, therefore without waiting: 55P03 makes the
-- caller settle its batch again.
create function settle_short_of_key(p_lease uuid, p_account uuid, p_key uuid, p_ids uuid[]) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
  v_due bigint := (select sum(cost_micro) from usage_events where id = any (p_ids));
  v_from_lease bigint;
  v_from_balance bigint;
begin
  select least(granted_micro - consumed_micro, v_due) into v_from_lease
  from leases where id = p_lease and account_id = p_account for update;
  v_from_lease := coalesce(v_from_lease, 0);
  update leases set consumed_micro = consumed_micro + v_from_lease where id = p_lease and account_id = p_account;

  select least(credited_micro - consumed_micro - leased_micro, v_due - v_from_lease) into v_from_balance
  from balances where account_id = p_account for no key update nowait;
  v_from_balance := coalesce(v_from_balance, 0);
  if p_key is not null then
    v_from_balance := least(v_from_balance, open_key_budget(p_account, p_key));
    update key_budgets set spent_micro = spent_micro + v_from_balance where key_id = p_key;
  end if;
  update balances set consumed_micro = consumed_micro + v_from_balance where account_id = p_account;

  with running as (
    select id, model_id, cost_micro, sum(cost_micro) over (order by id) - cost_micro as due_before
    from usage_events where id = any (p_ids)
  ), charged as (
    update usage_events u set
      cost_micro = greatest(0, least(r.cost_micro, v_from_lease + v_from_balance - r.due_before))
    from running r
    where u.id = r.id
    returning u.model_id, r.cost_micro - u.cost_micro as loss_micro
  )
  insert into operator_losses as o (day, model_id, requests, loss_micro)
  select (now() at time zone 'UTC')::date, model_id, count(*), sum(loss_micro)
  from charged where loss_micro > 0 group by model_id order by model_id
  on conflict (day, model_id) do update set
    requests = o.requests + excluded.requests, loss_micro = o.loss_micro + excluded.loss_micro;
end
$$;

-- Called by settle(), which it leaves as it is: each key with a budget by itself, the others together.
create or replace function settle_short(p_lease uuid, p_account uuid, p_ids uuid[]) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
  v_group record;
begin
  for v_group in
    select k.id as key_id, array_agg(u.id) as ids
    from usage_events u
    left join api_keys k on k.id = u.key_id and k.monthly_budget_micro is not null
    where u.id = any (p_ids)
    group by k.id
    order by k.id nulls first
  loop
    perform settle_short_of_key(p_lease, p_account, v_group.key_id, v_group.ids);
  end loop;
end
$$;

grant select on key_budgets to epithre_billing;
