-- policy: keep.billing (billing events 7 years)

create type billing_kind as enum ('top_up', 'refund', 'signup_credit', 'adjustment');
create type billing_reason as enum (
  'bank_transfer', 'signup', 'refund_requested', 'account_closing', 'service_fault', 'goodwill', 'correction'
);
create type ledger_account as enum ('customer', 'bank', 'signup_credit_expense', 'refunds', 'adjustments');

-- amount_micro is what the event adds to the customer's credit: negative for a refund, either for an adjustment.
-- It outlives the account (keep.billing), so the account is no foreign key.
create table billing_events (
  id uuid primary key default uuidv7(),
  account_id uuid not null,
  kind billing_kind not null,
  amount_micro bigint not null,
  reason billing_reason not null,
  idempotency_key uuid not null unique,
  created_at timestamptz not null default now(),
  constraint billing_events_sign check (
    case kind when 'refund' then amount_micro < 0 when 'adjustment' then amount_micro <> 0 else amount_micro > 0 end
  )
);

create index billing_events_account on billing_events (account_id, id);

create table ledger_entries (
  event_id uuid not null references billing_events (id) on delete cascade,
  ledger_account ledger_account not null,
  account_id uuid,
  amount_micro bigint not null,
  primary key (event_id, ledger_account),
  constraint ledger_entries_customer_named check ((ledger_account = 'customer') = (account_id is not null))
);

-- The account's money in three sums without dates; what one request cost lives in usage_events only.
-- Available = credited - consumed - leased. Balance = credited - consumed - what its leases have consumed.
create table balances (
  account_id uuid primary key references accounts (id),
  credited_micro bigint not null default 0 constraint balances_credited check (credited_micro >= 0),
  consumed_micro bigint not null default 0 constraint balances_consumed check (consumed_micro >= 0),
  leased_micro bigint not null default 0 constraint balances_leased check (leased_micro >= 0),
  constraint balances_available check (credited_micro - consumed_micro - leased_micro >= 0)
) with (fillfactor = 50);

create function check_event_balanced() returns trigger language plpgsql set search_path = public, pg_temp as $$
declare
  v_event uuid := case tg_table_name when 'billing_events' then to_jsonb(new) ->> 'id'
    else coalesce(to_jsonb(new), to_jsonb(old)) ->> 'event_id' end;
begin
  if (select coalesce(sum(amount_micro), 0) from ledger_entries where event_id = v_event) <> 0 then
    raise exception 'Cannot post billing event: its entries do not sum to zero' using errcode = 'EP500';
  end if;
  if exists (
    select from billing_events b where b.id = v_event and not exists (
      select from ledger_entries e
      where e.event_id = b.id and e.ledger_account = 'customer'
        and e.account_id = b.account_id and e.amount_micro = b.amount_micro
    )
  ) then
    raise exception 'Cannot post billing event: no entry of the customer matches it' using errcode = 'EP500';
  end if;
  return null;
end
$$;

create constraint trigger billing_events_balanced after insert on billing_events
  deferrable initially deferred for each row execute function check_event_balanced();
create constraint trigger ledger_entries_balanced after insert or update or delete on ledger_entries
  deferrable initially deferred for each row execute function check_event_balanced();

create trigger billing_events_immutable before update on billing_events
  for each row execute function refuse_change();
create trigger billing_events_no_truncate before truncate on billing_events
  for each statement execute function refuse_change();
create trigger ledger_entries_immutable before update on ledger_entries
  for each row execute function refuse_change();
create trigger ledger_entries_no_truncate before truncate on ledger_entries
  for each statement execute function refuse_change();

-- Corrections are new entries. Purge alone deletes, and only what is about to be 7 years old: up to 60 days early,
-- so that it is gone from backups in time (keep.billing).
create function refuse_young_deletion() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if tg_table_name = 'billing_events' then
    if old.created_at > now() - (interval '7 years' - interval '60 days') then
      raise exception 'Cannot delete billing event: it is kept for 7 years' using errcode = 'EP409';
    end if;
  elsif exists (select from billing_events where id = old.event_id) then
    raise exception 'Cannot delete ledger entry: it goes with its billing event' using errcode = 'EP409';
  end if;
  return old;
end
$$;

create trigger billing_events_refuse_young_deletion before delete on billing_events
  for each row execute function refuse_young_deletion();
create trigger ledger_entries_refuse_deletion before delete on ledger_entries
  for each row execute function refuse_young_deletion();

-- Posts one event, once: the id of the event, also when the same key came with the same event before.
-- EP404: no such account. EP409: the key came with another event. EP402: the account has less than is taken.
create function post_billing_event(
  p_account uuid, p_kind billing_kind, p_amount_micro bigint, p_reason billing_reason, p_idempotency_key uuid
) returns uuid language plpgsql set search_path = public, pg_temp as $$
declare
  v_id uuid;
  v_same boolean;
begin
  -- Shared with deletion of the account: it cannot go while money is put on it.
  perform from accounts where id = p_account for key share;
  if not found then
    raise exception 'Cannot post billing event: no such account' using errcode = 'EP404';
  end if;
  insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key)
  values (p_account, p_kind, p_amount_micro, p_reason, p_idempotency_key)
  on conflict (idempotency_key) do nothing
  returning id into v_id;
  if v_id is null then
    select id, (account_id, kind, amount_micro, reason) = (p_account, p_kind, p_amount_micro, p_reason)
    into v_id, v_same
    from billing_events where idempotency_key = p_idempotency_key;
    if not v_same then
      raise exception 'Cannot post billing event: its idempotency key was used for another' using errcode = 'EP409';
    end if;
    return v_id;
  end if;
  insert into ledger_entries (event_id, ledger_account, account_id, amount_micro)
  values
    (v_id, 'customer', p_account, p_amount_micro),
    (
      v_id,
      case p_kind
        when 'top_up' then 'bank'::ledger_account
        when 'refund' then 'refunds'
        when 'signup_credit' then 'signup_credit_expense'
        when 'adjustment' then 'adjustments'
      end,
      null,
      -p_amount_micro
    );
  insert into balances (account_id) values (p_account) on conflict do nothing;
  update balances set credited_micro = credited_micro + p_amount_micro
  where account_id = p_account and credited_micro + p_amount_micro - consumed_micro - leased_micro >= 0;
  if not found then
    raise exception 'Cannot post billing event: the account has less available than it takes' using errcode = 'EP402';
  end if;
  return v_id;
end
$$;
