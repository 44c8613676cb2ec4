-- policy: keep.billing (a paid invoice goes with its billing event; an unpaid one 90 days after it was due), pay.alpha

create type invoice_state as enum ('open', 'paid', 'cancelled');

-- The year that numbers count in: Jakarta's.
create function invoice_year(p_at timestamptz) returns smallint language sql immutable as $$
  select extract(year from p_at at time zone 'Asia/Jakarta')::smallint
$$;

-- What an account asked to pay for credit. The document is made from this row whenever it is asked for; whom it names
-- is read from persons then, so nothing here names a person but the account's id. As the billing event of a paid
-- invoice outlives the account, so does the invoice: the account is no foreign key.
create table invoices (
  id uuid primary key default uuidv7(),
  account_id uuid not null,
  -- Shown as INV-2026-000123. Without a gap within a year, in the order of issued_at.
  year smallint not null,
  number integer not null constraint invoices_number_positive check (number > 0),
  -- What the account's credit rises by: whole rupiah.
  credit_micro bigint not null constraint invoices_credit_whole check (credit_micro > 0 and credit_micro % 1000000 = 0),
  -- The rate of the day, and the tax by it, rounded once: to whole rupiah. To pay is the sum of credit and tax.
  ppn_basis_points integer not null constraint invoices_ppn_rate check (ppn_basis_points between 0 and 10000),
  ppn_micro bigint not null constraint invoices_ppn_whole check (ppn_micro >= 0 and ppn_micro % 1000000 = 0),
  issued_at timestamptz not null,
  due_at timestamptz not null,
  state invoice_state not null default 'open',
  paid_at timestamptz,
  billing_event_id uuid unique references billing_events (id) on delete cascade,
  idempotency_key uuid not null,
  unique (year, number),
  -- Of one account: what another one calls its requests is nobody's business.
  unique (account_id, idempotency_key),
  constraint invoices_year_of_issue check (year = invoice_year(issued_at)),
  constraint invoices_due_later check (due_at >= issued_at),
  constraint invoices_paid_by_event check (
    (state = 'paid') = (billing_event_id is not null) and (state = 'paid') = (paid_at is not null)
  )
);

create index invoices_account on invoices (account_id, id);
create index invoices_unpaid on invoices (due_at) where state <> 'paid';

-- The last number of each year: it only grows, so a number is never given again when its invoice is deleted.
create table invoice_numbers (
  year smallint primary key,
  last integer not null
);

-- An invoice ends once, as paid or cancelled; a paid one goes with its billing event only.
create function guard_invoice() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if tg_op = 'DELETE' then
    if exists (select from billing_events where id = old.billing_event_id) then
      raise exception 'Cannot delete invoice: it goes with its billing event' using errcode = 'EP409';
    end if;
    return old;
  end if;
  if old.state <> 'open' or (to_jsonb(new) - '{state,paid_at,billing_event_id}'::text[])
    <> (to_jsonb(old) - '{state,paid_at,billing_event_id}'::text[]) then
    raise exception 'Cannot change invoice: only its end is written to it, once' using errcode = 'EP409';
  end if;
  return new;
end
$$;

create trigger invoices_guarded before update or delete on invoices for each row execute function guard_invoice();
create trigger invoices_no_truncate before truncate on invoices for each statement execute function refuse_change();

-- made: the invoice, also when the same key came with the same amount before. other_amount: the key came with another.
-- too_many_open, too_many_today: the account has p_open_max unpaid ones, or made p_daily_max within a day, cancelled
-- ones included, so that nobody makes us send mail without end.
create type top_up_outcome as enum ('made', 'other_amount', 'too_many_open', 'too_many_today');

-- Makes an invoice over p_rupiah of credit and queues the mail that brings it. EP404: no such account, or it is closed.
create function request_top_up(
  p_account uuid, p_rupiah bigint, p_key uuid, p_ppn_basis_points integer, p_due_days integer, p_open_max integer,
  p_daily_max integer, out outcome top_up_outcome, out invoice_id uuid
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_credit_micro bigint := p_rupiah * 1000000;
  v_now timestamptz;
  v_year smallint;
  v_number integer;
  v_found invoices;
begin
  -- One at a time for an account, and none while it is erased.
  perform from accounts where id = p_account and status <> 'closed' for no key update;
  if not found then
    raise exception 'Cannot make invoice: no such account, or it is closed' using errcode = 'EP404';
  end if;
  select * into v_found from invoices where account_id = p_account and idempotency_key = p_key;
  if found then
    outcome := case when v_found.credit_micro = v_credit_micro then 'made'::top_up_outcome else 'other_amount' end;
    invoice_id := case when outcome = 'made' then v_found.id end;
    return;
  end if;
  if (select count(*) from invoices where account_id = p_account and state = 'open') >= p_open_max then
    outcome := 'too_many_open';
    return;
  end if;
  if (
    select count(*) from invoices where account_id = p_account and issued_at > now() - interval '1 day'
  ) >= p_daily_max then
    outcome := 'too_many_today';
    return;
  end if;
  -- One at a time, until it commits: a number that is taken is used, and whoever has the next one looked at the clock
  -- later, also where a year ends.
  perform pg_advisory_xact_lock(hashtext('invoice_number'), 0);
  v_now := clock_timestamp();
  v_year := invoice_year(v_now);
  insert into invoice_numbers as n (year, last) values (v_year, 1)
  on conflict (year) do update set last = n.last + 1
  returning last into v_number;
  insert into invoices (
    account_id, year, number, credit_micro, ppn_basis_points, ppn_micro, issued_at, due_at, idempotency_key
  ) values (
    p_account, v_year, v_number, v_credit_micro, p_ppn_basis_points,
    (p_rupiah * p_ppn_basis_points + 5000) / 10000 * 1000000, v_now, v_now + make_interval(days => p_due_days), p_key
  ) returning id into invoice_id;
  perform queue_mail(p_account, 'invoice', invoice_id);
  outcome := 'made';
end
$$;

-- Cancels an unpaid invoice of the account; cancelling twice is cancelling once. EP404: the account has no such invoice.
-- EP409: it is paid.
create function cancel_invoice(p_account uuid, p_invoice uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_state invoice_state;
begin
  -- In the order in which erasure takes them.
  perform from accounts where id = p_account for key share;
  select state into v_state from invoices where id = p_invoice and account_id = p_account for update;
  if not found then
    raise exception 'Cannot cancel invoice: the account has no such invoice' using errcode = 'EP404';
  elsif v_state = 'paid' then
    raise exception 'Cannot cancel invoice: it is paid' using errcode = 'EP409';
  elsif v_state = 'open' then
    update invoices set state = 'cancelled' where id = p_invoice;
    -- What is not sent yet asks for money that is not wanted any more.
    delete from outbox where account_id = p_account and template = 'invoice' and object_id = p_invoice;
  end if;
end
$$;

-- Whom a document is for, by an invoice: no row once the account is erased. Billing has no other way to a person.
create function invoice_recipient(p_invoice uuid, out name text, out email text) returns setof record
language sql stable security definer set search_path = public, pg_temp as $$
  select p.name, p.email from invoices i join persons p on p.account_id = i.account_id where i.id = p_invoice
$$;

-- As post_billing_event, with tax on top: the bank gets p_ppn_micro more, which is owed to the tax office.
-- A top-up of 100,000 rupiah with PPN of 11 %: customer +100,000, ppn_payable +11,000, bank -111,000.
create function post_taxed_event(
  p_account uuid, p_kind billing_kind, p_amount_micro bigint, p_ppn_micro bigint, p_reason billing_reason,
  p_idempotency_key uuid
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
    select
      b.id,
      (b.account_id, b.kind, b.amount_micro, b.reason) = (p_account, p_kind, p_amount_micro, p_reason)
        and p_ppn_micro = coalesce((
          select e.amount_micro from ledger_entries e where e.event_id = b.id and e.ledger_account = 'ppn_payable'
        ), 0)
    into v_id, v_same
    from billing_events b where b.idempotency_key = p_idempotency_key;
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
      -p_amount_micro - p_ppn_micro
    );
  if p_ppn_micro <> 0 then
    insert into ledger_entries (event_id, ledger_account, account_id, amount_micro)
    values (v_id, 'ppn_payable', null, p_ppn_micro);
  end if;
  insert into balances (account_id) values (p_account) on conflict do nothing;
  update balances set credited_micro = credited_micro + p_amount_micro
  where account_id = p_account and credited_micro + p_amount_micro - consumed_micro - leased_micro >= 0;
  if not found then
    raise exception 'Cannot post billing event: the account has less available than it takes' using errcode = 'EP402';
  end if;
  return v_id;
end
$$;

create or replace function post_billing_event(
  p_account uuid, p_kind billing_kind, p_amount_micro bigint, p_reason billing_reason, p_idempotency_key uuid
) returns uuid language sql set search_path = public, pg_temp as $$
  select post_taxed_event(p_account, p_kind, p_amount_micro, 0, p_reason, p_idempotency_key)
$$;

-- Whoever posts it: nobody gets it twice.
create unique index billing_events_one_signup_credit on billing_events (account_id) where kind = 'signup_credit';

-- Gives an account its signup credit, at most once in its life, whatever the amount was then: the id of the event that
-- gave it. When it is due is configuration of who calls this. EP404: no such account. EP409: it is closed.
create function grant_signup_credit(p_account uuid, p_amount_micro bigint) returns uuid
language plpgsql set search_path = public, pg_temp as $$
declare
  v_status account_status;
  v_event uuid;
begin
  select status into v_status from accounts where id = p_account for key share;
  if not found then
    raise exception 'Cannot grant signup credit: no such account' using errcode = 'EP404';
  elsif v_status = 'closed' then
    raise exception 'Cannot grant signup credit: the account is closed' using errcode = 'EP409';
  end if;
  select id into v_event from billing_events where account_id = p_account and kind = 'signup_credit';
  -- The account's id is the idempotency key: of two grants at the same time one posts, the other finds it.
  return coalesce(v_event, post_billing_event(p_account, 'signup_credit', p_amount_micro, 'signup', p_account));
end
$$;

-- A transfer has come in: the invoice is paid, the balance rises by its credit, the receipt is queued, once. Again with
-- the same amount it answers the same. p_signup_credit_micro, where it is due after the first transfer, else null.
-- EP404: no such invoice. EP409: it is cancelled, or its account closed. EP422: p_received_micro is not its total.
create function admin_confirm_invoice(p_invoice uuid, p_received_micro bigint, p_signup_credit_micro bigint)
returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
  v_invoice invoices;
  v_event uuid;
begin
  select account_id into v_account from invoices where id = p_invoice;
  -- In the order in which erasure and admin_close_account take them: the account cannot go, nor close, meanwhile.
  perform from accounts where id = v_account for key share;
  perform from balances where account_id = v_account for no key update;
  select * into v_invoice from invoices where id = p_invoice for update;
  if not found then
    raise exception 'Cannot confirm invoice: no such invoice' using errcode = 'EP404';
  elsif v_invoice.state = 'cancelled' then
    raise exception 'Cannot confirm invoice: it is cancelled' using errcode = 'EP409';
  elsif p_received_micro is distinct from v_invoice.credit_micro + v_invoice.ppn_micro then
    raise exception 'Cannot confirm invoice: another amount than its total' using errcode = 'EP422';
  elsif v_invoice.state = 'paid' then
    return v_invoice.billing_event_id;
  elsif not exists (select from accounts where id = v_account and status <> 'closed') then
    raise exception 'Cannot confirm invoice: its account is closed' using errcode = 'EP409';
  end if;
  v_event := post_taxed_event(
    v_account, 'top_up', v_invoice.credit_micro, v_invoice.ppn_micro, 'bank_transfer', p_invoice
  );
  update invoices set state = 'paid', paid_at = now(), billing_event_id = v_event where id = p_invoice;
  -- What is not sent yet asks for money that is here.
  delete from outbox where account_id = v_account and template = 'invoice' and object_id = p_invoice;
  perform queue_mail(v_account, 'receipt', p_invoice);
  perform append_audit('invoice_confirmed', v_account, p_invoice);
  if p_signup_credit_micro is not null then
    perform admin_grant_signup_credit(v_account, p_signup_credit_micro);
  end if;
  return v_event;
end
$$;

-- As grant_signup_credit; only a new event is audited. Whether it is new is looked up behind the lock that posting takes:
-- the audit row of an old one may be gone.
create function admin_grant_signup_credit(p_account uuid, p_amount_micro bigint) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_had boolean;
  v_event uuid;
begin
  perform from accounts where id = p_account for key share;
  perform from balances where account_id = p_account for no key update;
  v_had := exists (select from billing_events where account_id = p_account and kind = 'signup_credit');
  v_event := grant_signup_credit(p_account, p_amount_micro);
  if not v_had then
    perform append_audit('billing_event_posted', p_account, v_event);
  end if;
  return v_event;
end
$$;

-- Invoices by their number, or the newest 100 of an account.
create function admin_find_invoices(p_year integer, p_number integer, p_account uuid) returns setof invoices
language sql stable security definer set search_path = public, pg_temp as $$
  select * from invoices
  where (year = p_year and number = p_number) or account_id = p_account
  order by id desc limit 100
$$;

comment on type ledger_account is
  'The accounts of the double entry. Each event has entries that sum to zero: one on customer (credit that we owe the account named beside it; above zero: more of it), one on another account (what stands against it), and of an invoice with tax one on ppn_payable. bank: money that came in for a top_up, tax included. refunds: money that went back for a refund. signup_credit_expense: credit that we gave. adjustments: corrections, goodwill, and credit that was forfeited. ppn_payable: PPN (VAT) that came in with a paid invoice and is owed to the tax office; no part of anybody''s credit. Example: a paid invoice over 100,000 rupiah of credit with PPN of 11 % is +100000000000 on customer, +11000000000 on ppn_payable and -111000000000 on bank; a top_up that was posted without an invoice is +100000000000 on customer and -100000000000 on bank.';
comment on table ledger_entries is
  'Two for each billing event, three where an invoice had tax; immutable like it: a deferred trigger refuses a transaction in which they do not sum to zero, or in which the customer''s entry is not the event''s.';

comment on table invoices is
  'What an account asked to pay for credit. A paid one is deleted with its billing event (7 years, keep.billing), others 90 days after they were due or with their account. Made by request_top_up(), ended by admin_confirm_invoice() or cancel_invoice() only.';
comment on column invoices.credit_micro is
  'Micro-rupiah by which the account''s credit rises once it is paid; the tax comes on top.';
comment on column invoices.ppn_micro is
  'credit_micro x ppn_basis_points / 10000, rounded once, half up, to whole rupiah. Example: 50,005 rupiah with 11 % is 5,500.55, so 5,501 rupiah.';
comment on column invoices.billing_event_id is
  'The top_up that paid it. Its idempotency key is the invoice''s id, so it is posted once.';
comment on function post_taxed_event(uuid, billing_kind, bigint, bigint, billing_reason, uuid) is
  'Posts one event once, with its entries, and answers its id, also when the same key came with the same event before. EP404: no such account. EP409: the key came with another event. EP402: the account has less available than is taken.';

grant select on invoices to epithre_billing;
grant execute on function request_top_up(uuid, bigint, uuid, integer, integer, integer, integer) to epithre_billing;
grant execute on function cancel_invoice(uuid, uuid) to epithre_billing;
grant execute on function invoice_recipient(uuid) to epithre_billing;
grant execute on function admin_confirm_invoice(uuid, bigint, bigint) to epithre_admin;
grant execute on function admin_grant_signup_credit(uuid, bigint) to epithre_admin;
grant execute on function admin_find_invoices(integer, integer, uuid) to epithre_admin;
