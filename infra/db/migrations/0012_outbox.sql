-- policy: keep.account (contact about the account; a row goes at most 30 days after it was made)

create type mail_template as enum ('welcome');

-- Mail that is to be sent: to whom by account, what by template. Neither address nor text is kept here.
create table outbox (
  id uuid primary key default uuidv7(),
  account_id uuid not null references accounts (id),
  template mail_template not null,
  created_at timestamptz not null default now(),
  attempts smallint not null default 0,
  next_attempt_at timestamptz not null default now(),
  sent_at timestamptz
);

create index outbox_due on outbox (next_attempt_at) where sent_at is null;
create index outbox_account on outbox (account_id);

-- Called inside the transaction that gives the reason to write: no mail without it, and none of it without mail.
create function queue_mail(p_account uuid, p_template mail_template) returns void
language sql set search_path = public, pg_temp as $$
  insert into outbox (account_id, template) values (p_account, p_template)
$$;

grant select on outbox to epithre_notify;
grant update (attempts, next_attempt_at, sent_at) on outbox to epithre_notify;
grant select (account_id, email) on persons to epithre_notify;
