-- policy: keep.usage; a lease lives as long as its proxy uses it, seconds after the last request of its account
--
-- A lease is a slice of an account's money that one proxy may spend. settle() debits the lease; the account's row
-- moves only on grant, return and close. Locks are always taken in this order, so that no two calls wait for each
-- other: balances by account, then leases by id.

create table leases (
  id uuid primary key default uuidv7(),
  account_id uuid not null references balances (account_id),
  replica_id uuid not null,
  granted_micro bigint not null,
  consumed_micro bigint not null default 0,
  expires_at timestamptz not null,
  recall_requested_at timestamptz,
  recall_answered_at timestamptz,
  constraint leases_never_overspent check (consumed_micro between 0 and granted_micro)
) with (
  -- Debits and renewals touch no indexed column, so with room on the page they write no index entry.
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000
);

create index leases_account on leases (account_id);
create index leases_replica on leases (replica_id);

-- Ends the expired leases of an account whose balances row the caller has locked: what they did not consume is
-- available again.
create function close_expired_leases_of(p_account uuid) returns integer
language plpgsql set search_path = public, pg_temp as $$
declare
  v_closed integer;
begin
  perform from leases where account_id = p_account and expires_at <= now() order by id for update;
  with closed as (
    delete from leases where account_id = p_account and expires_at <= now() returning granted_micro, consumed_micro
  )
  update balances set
    leased_micro = leased_micro - closed.granted,
    consumed_micro = consumed_micro + closed.consumed
  from (select count(*) as leases, sum(granted_micro) as granted, sum(consumed_micro) as consumed from closed) as closed
  where account_id = p_account and closed.leases > 0
  returning closed.leases into v_closed;
  return coalesce(v_closed, 0);
end
$$;

-- Ends expired leases of up to p_accounts_max accounts, whoever held them; answers how many.
create function close_expired_leases(p_accounts_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
  v_closed integer := 0;
begin
  for v_account in
    select account_id from balances
    where account_id in (select account_id from leases where expires_at <= now() limit p_accounts_max)
    order by account_id for no key update
  loop
    v_closed := v_closed + close_expired_leases_of(v_account);
  end loop;
  return v_closed;
end
$$;

-- Asks the other replicas for idle money of an account. True while an answer is awaited; false when each has
-- answered within the last second (or has nothing idle): then there is no more to be had.
create function recall_leases(p_account uuid, p_replica uuid) returns boolean
language plpgsql set search_path = public, pg_temp as $$
begin
  update leases set recall_requested_at = now(), recall_answered_at = null
  where account_id = p_account and replica_id <> p_replica
    and granted_micro > consumed_micro
    and (recall_requested_at is null or recall_requested_at <= now() - interval '1 second');
  return exists (
    select from leases
    where account_id = p_account and replica_id <> p_replica
      and recall_requested_at is not null and recall_answered_at is null
  );
end
$$;

-- Grants in the order of p_requests, a JSON array of {account_id, lease_id | null, needs: [micro], want: micro}.
-- A grant covers the longest prefix of the needs that the account can pay. When it covers them all and plenty is
-- left, it adds up to `want`; near zero it is exact, so that no fragment too small for a request is stuck in a lease.
create function lease_grant(p_replica uuid, p_ttl interval, p_requests jsonb)
returns table (outcome text, lease_id uuid, granted_micro bigint, needs_covered integer, available_micro bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  -- Amounts leave the database as JSON numbers: a grant never exceeds 2^53 - 1.
  c_grant_micro_max constant bigint := 9007199254740991;
  v_accounts uuid[] := array(select (request ->> 'account_id')::uuid from jsonb_array_elements(p_requests) as request);
  v_request record;
  v_need bigint;
  v_largest_need bigint;
  v_spare bigint;
begin
  perform from balances where account_id = any (v_accounts) order by account_id for no key update;
  perform from leases where account_id = any (v_accounts) order by id for update;
  for v_request in
    select r.* from rows from (
      jsonb_to_recordset(p_requests) as (account_id uuid, lease_id uuid, needs bigint[], want bigint)
    ) with ordinality as r (account_id, lease_id, needs, want, position)
    order by r.position
  loop
    perform close_expired_leases_of(v_request.account_id);
    available_micro := coalesce((
      select least(b.credited_micro - b.consumed_micro - b.leased_micro, c_grant_micro_max)
      from balances b where b.account_id = v_request.account_id
    ), -1);
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
      outcome := case when recall_leases(v_request.account_id, p_replica) then 'recalling' else 'insufficient' end;
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
      and l.granted_micro + lease_grant.granted_micro <= c_grant_micro_max
    returning l.id into lease_id;
    if lease_id is null then
      insert into leases as l (account_id, replica_id, granted_micro, expires_at)
      values (v_request.account_id, p_replica, lease_grant.granted_micro, now() + p_ttl)
      returning l.id into lease_id;
    end if;
    return next;
  end loop;
end
$$;

-- What a replica says of one of its leases: functions/billing/schema.ts, SyncRequest.
create type lease_report as (
  lease_id uuid,
  renew boolean,
  returned_micro bigint,
  recall_answered boolean,
  closing boolean
);

-- Gone: expired, closed (also by this call) or never this replica's, in the order of the reports. Recalled: leases of
-- this replica whose idle money is wanted elsewhere.
create function lease_sync(
  p_replica uuid, p_ttl interval, p_reports lease_report[], out gone boolean[], out recalled uuid[]
)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_leases uuid[] := array(select lease_id from unnest(p_reports));
begin
  perform from balances where account_id in (
    select l.account_id
    from unnest(p_reports) as r
    join leases l on l.id = r.lease_id and l.replica_id = p_replica
    where r.returned_micro > 0 or r.closing
  ) order by account_id for no key update;
  perform from leases where id = any (v_leases) and replica_id = p_replica order by id for update;

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

  with reported as (
    update leases l set
      granted_micro = l.granted_micro - least(r.returned_micro, l.granted_micro - l.consumed_micro),
      expires_at = case when r.renew then greatest(l.expires_at, now() + p_ttl) else l.expires_at end,
      recall_answered_at = case when r.recall_answered then now() else l.recall_answered_at end
    from unnest(p_reports) as r
    where l.id = r.lease_id and l.replica_id = p_replica and l.expires_at > now()
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
