-- policy: keep.billing (the threshold stands beside the balance, as long as the account), use.account
--
-- One mail when an account's balance falls below the threshold that its person set, and no other until the balance
-- has been at the threshold again. Only a billing event raises a balance, so only that arms the alert; a look at all
-- alerts, once a minute, fires it.

alter type mail_template add value 'low_balance';

-- Armed: nobody has been told since this threshold was set, or since the balance was last at it or above.
create table balance_alerts (
  account_id uuid primary key references accounts (id) on delete cascade,
  threshold_micro bigint not null constraint balance_alerts_threshold check (threshold_micro > 0),
  armed boolean not null default true
);

create index balance_alerts_armed on balance_alerts (account_id) where armed;

-- Billing events less all that was used, also out of leases that run; 0 for an account without a balance.
create function balance_micro(p_account uuid) returns bigint
language sql stable set search_path = public, pg_temp as $$
  select coalesce((
    select credited_micro - consumed_micro
      - coalesce((select sum(consumed_micro)::bigint from leases where account_id = p_account), 0)
    from balances where account_id = p_account
  ), 0)
$$;

-- A threshold that is already passed is told once; the same one set again changes nothing. Null: no alert.
create function set_balance_alert(p_account uuid, p_threshold_micro bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if p_threshold_micro is null then
    delete from balance_alerts where account_id = p_account;
    return;
  end if;
  insert into balance_alerts as a (account_id, threshold_micro) values (p_account, p_threshold_micro)
  on conflict (account_id) do update set
    threshold_micro = excluded.threshold_micro, armed = a.armed or a.threshold_micro <> excluded.threshold_micro;
end
$$;

create function balance_alert(p_account uuid) returns bigint
language sql stable security definer set search_path = public, pg_temp as $$
  select threshold_micro from balance_alerts where account_id = p_account
$$;

create function arm_balance_alert() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  -- Also one that is armed: a look that is about to fire it has it locked, and comes first.
  update balance_alerts set armed = true
  where account_id = new.account_id and balance_micro(account_id) >= threshold_micro;
  return null;
end
$$;

-- Statements that grant, return or close leases name no credit and do not come here.
create trigger balances_arm_alert after update of credited_micro on balances
  for each row execute function arm_balance_alert();

-- Queues mail to up to p_accounts_max accounts whose balance is below their threshold, and answers to how many. Mail
-- and note are one transaction, so there is neither a lost nor a repeated one.
create function queue_low_balance_mail(p_accounts_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  -- Available is at most the balance, and needs no look at leases: it finds all that can be below, and few others.
  v_accounts uuid[] := array(
    select a.account_id from balance_alerts a
    join accounts o on o.id = a.account_id
    left join balances b on b.account_id = a.account_id
    where a.armed and o.status <> 'closed'
      and coalesce(b.credited_micro - b.consumed_micro - b.leased_micro, 0) < a.threshold_micro
      and balance_micro(a.account_id) < a.threshold_micro
    limit p_accounts_max
    for update of a skip locked
  );
  v_account uuid;
  v_queued integer := 0;
begin
  -- A statement of its own: the rows are ours by now, so a billing event that came between has been committed and is
  -- seen, or waits for us and arms the alert again.
  for v_account in
    update balance_alerts a set armed = false
    where a.account_id = any (v_accounts) and balance_micro(a.account_id) < a.threshold_micro
    returning a.account_id
  loop
    perform queue_mail(v_account, 'low_balance');
    v_queued := v_queued + 1;
  end loop;
  return v_queued;
end
$$;

grant execute on function set_balance_alert(uuid, bigint) to epithre_billing;
grant execute on function balance_alert(uuid) to epithre_billing;
grant execute on function queue_low_balance_mail(integer) to epithre_notify;
