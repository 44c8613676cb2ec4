-- policy: keep.account (e-mail, password hash, name; tokens that mail brings: until they expire), keep.session, sec.password
--
-- What the function accounts does to a person's row, as functions: its role may call these and can do nothing else.

alter table persons
  add column email_verified_at timestamptz,
  -- An address that its owner has not confirmed yet; it takes the place of email, or goes after a day.
  add column new_email text constraint persons_new_email_length check (length(new_email) between 3 and 254),
  add column new_email_at timestamptz,
  add constraint persons_new_email_has_time check ((new_email is null) = (new_email_at is null)),
  add constraint persons_password_hash_form check (
    password_hash ~ '^\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]{22,86}\$[A-Za-z0-9+/]{43,86}$'
  );

alter table persons alter column new_email set statistics 0;

create index persons_new_email_at on persons (new_email_at) where new_email is not null;
-- Signed up, and not verified.
create index persons_unverified on persons (account_id) where email_verified_at is null and password_hash is not null;

-- Who has an address, in whatever case. An index has statistics of its own, which would keep copies of values.
do $$
begin
  for v_part in 0..7 loop
    execute format('create index persons_%s_email on persons_%1$s (lower(email))', v_part);
    execute format('alter index persons_%s_email alter column 1 set statistics 0', v_part);
  end loop;
end
$$;

alter table accounts
  -- Sessions that began before are over: log out everywhere, another password, deletion.
  add column sessions_from timestamptz,
  -- What the account becomes again when its owner takes the deletion back; null where an operator closed it.
  add column reopens_as account_status,
  add constraint accounts_reopens_when_closed check (reopens_as is null or (status = 'closed' and reopens_as <> 'closed'));

grant select (sessions_from) on accounts to epithre_key_auth;

create type account_token_purpose as enum ('verify_email', 'reset_password', 'change_email', 'cancel_deletion');

-- A token is made when its mail is sent, and is nowhere but in that mail: here is its SHA-256. Each attempt at a mail
-- has its own; using one ends all of the account for that purpose.
create table account_tokens (
  hash bytea primary key constraint account_tokens_hash_length check (octet_length(hash) = 32),
  account_id uuid not null references accounts (id) on delete cascade,
  purpose account_token_purpose not null,
  expires_at timestamptz not null
);

alter table account_tokens alter column hash set statistics 0;
create index account_tokens_account on account_tokens (account_id);
create index account_tokens_expires on account_tokens (expires_at);

-- One of each kind waits at a time: asking again sends no second one.
create function queue_mail_once(p_account uuid, p_template mail_template) returns void
language sql set search_path = public, pg_temp as $$
  insert into outbox (account_id, template)
  select p_account, p_template
  where not exists (select from outbox where account_id = p_account and template = p_template)
$$;

-- The account with this address, locked against another that would take it; null where there is none.
create function account_of_email(p_email text) returns uuid
language plpgsql set search_path = public, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtext('person_email'), hashtext(lower(p_email)));
  return (select account_id from persons where lower(email) = lower(p_email));
end
$$;

-- A moment after which no session that has begun counts: sessions begin at a whole millisecond, see begin_session().
create function end_of_sessions() returns timestamptz
language sql volatile set search_path = public, pg_temp as $$
  select date_trunc('milliseconds', clock_timestamp()) + interval '2 milliseconds'
$$;

-- A new account, or mail to the one that has the address: who asks is told neither. Of an account that nobody has
-- verified, the last password counts: whoever entered the address first may not have been its owner.
create function account_sign_up(p_email text, p_name text, p_password_hash text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid := account_of_email(p_email);
  v_open boolean;
begin
  if v_account is null then
    insert into accounts default values returning id into v_account;
    insert into persons (account_id, email, name, password_hash) values (v_account, p_email, p_name, p_password_hash);
    insert into balances (account_id) values (v_account);
    v_open := true;
  else
    update persons set name = p_name, password_hash = p_password_hash
    where account_id = v_account and email_verified_at is null and password_hash is not null
      and exists (select from accounts where id = v_account and status <> 'closed');
    v_open := found;
  end if;
  perform queue_mail_once(v_account, case when v_open then 'verify_email'::mail_template else 'already_registered' end);
end
$$;

-- Queues the mail that proves or replaces a password again, where it is of use; says nothing about the address.
create function account_ask_mail(p_email text, p_purpose account_token_purpose) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  select p.account_id into v_account
  from persons p
  join accounts a on a.id = p.account_id
  where lower(p.email) = lower(p_email) and a.status <> 'closed'
    and case p_purpose
      when 'verify_email' then p.email_verified_at is null and p.password_hash is not null
      when 'reset_password' then true
      else false
    end;
  if found then
    perform queue_mail_once(v_account, p_purpose::text::mail_template);
  end if;
end
$$;

-- What a password is checked against, of the account with an address, an id or a token for p_purpose; no row where there
-- is no such account or it is closed.
create function account_credentials(
  p_email text, p_account uuid, p_token bytea, p_purpose account_token_purpose, out account_id uuid, out password_hash text,
  out verified boolean
) returns setof record
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
  -- Each by its own index.
  v_account uuid := p_account;
begin
  if p_email is not null then
    select p.account_id into v_account from persons p where lower(p.email) = lower(p_email);
  elsif p_token is not null then
    select t.account_id into v_account from account_tokens t
    where t.hash = p_token and t.purpose = p_purpose and t.expires_at > now();
  end if;
  return query
    select p.account_id, p.password_hash, p.email_verified_at is not null
    from persons p
    join accounts a on a.id = p.account_id
    where p.account_id = v_account and a.status <> 'closed';
end
$$;

-- When a session begins (milliseconds since 1970), for who has given the password of p_checked_hash; null where that is
-- the password no more. p_better_hash, of the same password under newer parameters, takes its place.
create function begin_session(p_account uuid, p_checked_hash text, p_better_hash text) returns double precision
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform from persons p join accounts a on a.id = p.account_id
  where p.account_id = p_account and p.password_hash = p_checked_hash and p.email_verified_at is not null
    and a.status <> 'closed';
  if not found then
    return null;
  end if;
  if p_better_hash is not null then
    update persons set password_hash = p_better_hash where account_id = p_account and password_hash = p_checked_hash;
  end if;
  return ceil(extract(epoch from (select greatest(clock_timestamp(), sessions_from) from accounts where id = p_account)) * 1000);
end
$$;

create function account_end_sessions(p_account uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
  update accounts set sessions_from = end_of_sessions() where id = p_account and status <> 'closed'
$$;

-- EP404: the password that was checked is not the account's any more.
create function account_set_password(p_account uuid, p_checked_hash text, p_password_hash text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update persons set password_hash = p_password_hash where account_id = p_account and password_hash = p_checked_hash;
  if not found then
    raise exception 'Cannot change password: another change came first' using errcode = 'EP404';
  end if;
  perform account_end_sessions(p_account);
  delete from account_tokens where account_id = p_account and purpose = 'reset_password';
  perform queue_mail_once(p_account, 'password_changed');
end
$$;

-- The open account of a token, whose tokens for that purpose end with this. EP404: it is none, used or expired.
create function use_account_token(p_hash bytea, p_purpose account_token_purpose) returns uuid
language plpgsql set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  select account_id into v_account from account_tokens
  where hash = p_hash and purpose = p_purpose and expires_at > now();
  -- One use at a time: of two, the second finds the token gone.
  perform from accounts where id = v_account and (status <> 'closed' or p_purpose = 'cancel_deletion') for no key update;
  if not found or not exists (select from account_tokens where hash = p_hash) then
    raise exception 'Cannot use token: it is none, used or expired' using errcode = 'EP404';
  end if;
  delete from account_tokens where account_id = v_account and purpose = p_purpose;
  return v_account;
end
$$;

-- The address is its account's. The first time that is so, the account gets its signup credit where it is due then.
create function note_verified(p_account uuid, p_signup_credit_micro bigint) returns void
language plpgsql set search_path = public, pg_temp as $$
begin
  update persons set email_verified_at = now() where account_id = p_account and email_verified_at is null;
  if found and p_signup_credit_micro is not null then
    perform grant_signup_credit(p_account, p_signup_credit_micro);
  end if;
end
$$;

-- EP404: no such token, or the password is not p_checked_hash's any more: then the token still counts.
create function account_verify_email(p_token bytea, p_checked_hash text, p_signup_credit_micro bigint) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid := use_account_token(p_token, 'verify_email');
begin
  perform from persons where account_id = v_account and password_hash = p_checked_hash;
  if not found then
    raise exception 'Cannot verify address: another signup came first' using errcode = 'EP404';
  end if;
  perform note_verified(v_account, p_signup_credit_micro);
  return v_account;
end
$$;

-- Whoever reads the account's mail sets a new password: sessions end, and so does a change of address that is under way.
create function account_reset_password(p_token bytea, p_password_hash text, p_signup_credit_micro bigint) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid := use_account_token(p_token, 'reset_password');
begin
  update persons set password_hash = p_password_hash, new_email = null, new_email_at = null where account_id = v_account;
  delete from account_tokens where account_id = v_account;
  perform account_end_sessions(v_account);
  perform note_verified(v_account, p_signup_credit_micro);
  perform queue_mail_once(v_account, 'password_changed');
  return v_account;
end
$$;

create function account_set_name(p_account uuid, p_name text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update persons set name = p_name where account_id = p_account
$$;

-- The present address is told, before the new one gets its token. Where another account has the new one, its owner is
-- told instead: who asks sees no difference.
create function account_ask_email(p_account uuid, p_email text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_other uuid := account_of_email(p_email);
begin
  delete from account_tokens where account_id = p_account and purpose = 'change_email';
  perform queue_mail_once(p_account, 'email_change_asked');
  update persons set new_email = p_email, new_email_at = now() where account_id = p_account;
  if v_other <> p_account then
    delete from outbox where account_id = p_account and template = 'change_email';
    perform queue_mail_once(v_other, 'already_registered');
  else
    perform queue_mail_once(p_account, 'change_email');
  end if;
end
$$;

-- EP404: no such token. EP409: another account has taken the address meanwhile.
create function account_confirm_email(p_token bytea) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid := use_account_token(p_token, 'change_email');
  v_email text := (select new_email from persons where account_id = v_account);
begin
  if v_email is null then
    raise exception 'Cannot change address: none is asked for' using errcode = 'EP404';
  end if;
  if account_of_email(v_email) <> v_account then
    raise exception 'Cannot change address: another account has it' using errcode = 'EP409';
  end if;
  update persons set email = v_email, email_verified_at = now(), new_email = null, new_email_at = null
  where account_id = v_account;
  -- Those that the former address got.
  delete from account_tokens where account_id = v_account;
  return v_account;
end
$$;

create function account_profile(
  p_account uuid, out email text, out name text, out status account_status, out email_verified_at timestamptz,
  out new_email text
) returns setof record
language sql stable security definer set search_path = public, pg_temp as $$
  select p.email, p.name, a.status, p.email_verified_at, p.new_email
  from persons p join accounts a on a.id = p.account_id
  where a.id = p_account and a.status <> 'closed'
$$;

-- Notes the token that a mail is about to bring, for p_life, or what is left of the time that it is for. False where
-- there is nothing left to do with it: the mail is then not sent.
create function account_mint_token(
  p_account uuid, p_purpose account_token_purpose, p_hash bytea, p_life interval, p_grace interval
) returns boolean
language sql security definer set search_path = public, pg_temp as $$
  with minted as (
    insert into account_tokens (hash, account_id, purpose, expires_at)
    select p_hash, a.id, p_purpose, case p_purpose
      when 'change_email' then p.new_email_at + p_life
      when 'cancel_deletion' then a.closed_at + p_grace
      else now() + p_life
    end
    from accounts a
    join persons p on p.account_id = a.id
    where a.id = p_account
      and case p_purpose
        when 'verify_email' then a.status <> 'closed' and p.email_verified_at is null
        when 'reset_password' then a.status <> 'closed'
        when 'change_email' then a.status <> 'closed' and p.new_email is not null
        when 'cancel_deletion' then a.reopens_as is not null
      end
    returning hash
  )
  select exists (select from minted)
$$;

-- As in 0013: mail about a new address goes there.
create or replace function take_mail(
  out id uuid, out account_id uuid, out template mail_template, out object_id uuid, out month date, out model text,
  out attempts integer, out email text
)
returns setof record
language sql security definer set search_path = public, pg_temp as $$
  with due as (
    select o.id from outbox o
    join persons p on p.account_id = o.account_id
    where o.next_attempt_at <= now()
    order by o.next_attempt_at, o.id
    limit 1
    for update of o skip locked
  )
  update outbox o set
    attempts = o.attempts + 1,
    next_attempt_at = now() + least(interval '1 minute' * (2 ^ least(o.attempts, 20)), interval '6 hours')
  from due, persons p
  where o.id = due.id and p.account_id = o.account_id
  returning
    o.id, o.account_id, o.template, o.object_id, o.month, (select m.name from models m where m.id = o.model_id),
    o.attempts, case when o.template = 'change_email' then coalesce(p.new_email, p.email) else p.email end
$$;

grant execute on function account_sign_up(text, text, text) to epithre_accounts;
grant execute on function account_ask_mail(text, account_token_purpose) to epithre_accounts;
grant execute on function account_credentials(text, uuid, bytea, account_token_purpose) to epithre_accounts;
grant execute on function begin_session(uuid, text, text) to epithre_accounts;
grant execute on function account_end_sessions(uuid) to epithre_accounts;
grant execute on function account_set_password(uuid, text, text) to epithre_accounts;
grant execute on function account_verify_email(bytea, text, bigint) to epithre_accounts;
grant execute on function account_reset_password(bytea, text, bigint) to epithre_accounts;
grant execute on function account_set_name(uuid, text) to epithre_accounts;
grant execute on function account_ask_email(uuid, text) to epithre_accounts;
grant execute on function account_confirm_email(bytea) to epithre_accounts;
grant execute on function account_profile(uuid) to epithre_accounts;
grant execute on function account_mint_token(uuid, account_token_purpose, bytea, interval, interval) to epithre_accounts;
