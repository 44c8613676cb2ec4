-- policy: keep.account (contact about the account; a row goes at most 30 days after it was made), use.account
--
-- Mail that waits to be sent. The address is read from persons when it is sent, the text is code of notify, so
-- nothing here names a person, and a mail that is late goes to the address that is right by then.

create type mail_template as enum ('welcome');

-- A row is deleted once its mail is sent or given up, or with its account.
create table outbox (
  id uuid primary key default uuidv7(),
  account_id uuid not null references accounts (id) on delete cascade,
  template mail_template not null,
  created_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0),
  next_attempt_at timestamptz not null default now()
);

create index outbox_due on outbox (next_attempt_at);
create index outbox_account on outbox (account_id);

-- For functions of the owner only, inside the transaction that gives the reason to write: no mail without it, and none
-- of it without mail.
create function queue_mail(p_account uuid, p_template mail_template) returns void
language sql set search_path = public, pg_temp as $$
  insert into outbox (account_id, template) values (p_account, p_template)
$$;

-- The mail that is due longest, or no row. Taking it puts its next attempt off, each time for twice as long (1 minute
-- up to 6 hours): a sender that dies, or fails, needs to say nothing for the mail to be tried again.
create function take_mail(out id uuid, out template mail_template, out attempts integer, out email text)
returns setof record
language sql security definer set search_path = public, pg_temp as $$
  with due as (
    select o.id from outbox o
    join persons p on p.account_id = o.account_id
    where o.next_attempt_at <= now()
    order by o.next_attempt_at
    limit 1
    for update of o skip locked
  )
  update outbox o set
    attempts = o.attempts + 1,
    next_attempt_at = now() + least(interval '1 minute' * (2 ^ least(o.attempts, 20)), interval '6 hours')
  from due, persons p
  where o.id = due.id and p.account_id = o.account_id
  returning o.id, o.template, o.attempts, p.email
$$;

-- The mail was sent, or is given up.
create function finish_mail(p_id uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
  delete from outbox where id = p_id
$$;

grant execute on function take_mail() to epithre_notify;
grant execute on function finish_mail(uuid) to epithre_notify;
