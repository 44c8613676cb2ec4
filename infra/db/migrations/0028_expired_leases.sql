-- policy: none; as 0005, in an order that settlements keep too, and with nothing to do where nothing has expired

-- Ends the expired leases of an account whose balances row the caller has locked: what they did not consume is
-- available again. Each grant asks this of its account, and nearly always there are none.
create or replace function close_expired_leases_of(p_account uuid) returns integer
language plpgsql set search_path = public, pg_temp as $$
declare
  v_closed integer;
begin
  perform from leases where account_id = p_account and expires_at <= now() order by id for update;
  if not found then
    return 0;
  end if;
  with closed as (
    delete from leases where account_id = p_account and expires_at <= now() returning granted_micro, consumed_micro
  )
  update balances set
    leased_micro = leased_micro - closed.granted,
    consumed_micro = consumed_micro + closed.consumed
  from (select count(*) as leases, sum(granted_micro) as granted, sum(consumed_micro) as consumed from closed) as closed
  where account_id = p_account
  returning closed.leases into v_closed;
  return v_closed;
end
$$;

-- Ends expired leases of up to p_accounts_max accounts, whoever held them; answers how many. All leases are locked
-- first, by id: a settlement that comes late debits leases of several accounts in that order, and one account after
-- the other would meet it in a circle.
create or replace function close_expired_leases(p_accounts_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_accounts uuid[] := array(select account_id from leases where expires_at <= now() limit p_accounts_max);
  v_account uuid;
  v_closed integer := 0;
begin
  perform from balances where account_id = any (v_accounts) order by account_id for no key update;
  perform from leases where account_id = any (v_accounts) and expires_at <= now() order by id for update;
  foreach v_account in array v_accounts loop
    v_closed := v_closed + close_expired_leases_of(v_account);
  end loop;
  return v_closed;
end
$$;
