-- policy: keep.audit (admin actions, key creation and revocation, suspensions: 365 days)
--
-- What operators do, as functions: each changes something and appends its audit row in one transaction, so that there
-- is no change without a row. The admin role may call these and nothing else.

create type audit_actor as enum ('operator', 'system');
create type audit_action as enum (
  'account_created', 'account_suspended', 'account_reinstated', 'account_closed',
  'key_created', 'key_revoked', 'billing_event_posted',
  'model_created', 'model_enabled', 'model_disabled', 'price_created', 'purge_gap_confirmed'
);
create type suspension_reason as enum ('operator_decision', 'abuse', 'security', 'unpaid', 'legal');

-- Who is concerned is named by the account's alias alone: once erasure has deleted the alias, a row names nobody.
-- object_id is the key or the billing event.
create table audit_log (
  id bigint primary key generated always as identity,
  at timestamptz not null default now(),
  actor audit_actor not null,
  action audit_action not null,
  subject_alias uuid,
  object_id uuid,
  reason suspension_reason
);

create index audit_log_at on audit_log (at);
create index audit_log_object on audit_log (object_id) where object_id is not null;

create trigger audit_log_immutable before update on audit_log
  for each row execute function refuse_change();
create trigger audit_log_no_truncate before truncate on audit_log
  for each statement execute function refuse_change();

-- Purge alone deletes, and only what is about to be 365 days old: up to 60 days early, so that it is gone from
-- backups in time (keep.audit).
create function refuse_young_audit_deletion() returns trigger language plpgsql as $$
begin
  if old.at > now() - (interval '365 days' - interval '60 days') then
    raise exception 'Cannot delete audit row: it is kept for 365 days' using errcode = 'EP409';
  end if;
  return old;
end
$$;

create trigger audit_log_refuse_young_deletion before delete on audit_log
  for each row execute function refuse_young_audit_deletion();

create function append_audit(
  p_action audit_action, p_account uuid default null, p_object uuid default null,
  p_reason suspension_reason default null
) returns void language sql set search_path = public, pg_temp as $$
  insert into audit_log (actor, action, subject_alias, object_id, reason)
  values ('operator', p_action, (select audit_alias from accounts where id = p_account), p_object, p_reason)
$$;

-- EP409 where another account has the address, in whatever case. persons is partitioned by account, so no index can
-- say so: the lock keeps two signups of one address apart.
create function admin_create_account(p_email text, p_name text) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  perform pg_advisory_xact_lock(hashtext('person_email'), hashtext(lower(p_email)));
  if exists (select from persons where lower(email) = lower(p_email)) then
    raise exception 'Cannot create account: the address has one' using errcode = 'EP409';
  end if;
  insert into accounts default values returning id into v_account;
  insert into persons (account_id, email, name) values (v_account, p_email, p_name);
  insert into balances (account_id) values (v_account);
  perform queue_mail(v_account, 'welcome');
  perform append_audit('account_created', v_account);
  return v_account;
end
$$;

-- Suspends or reinstates; a closed account stays closed (EP409). EP404: no such account.
create function admin_set_suspended(p_account uuid, p_suspended boolean, p_reason suspension_reason) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_status account_status;
begin
  select status into v_status from accounts where id = p_account for update;
  if not found then
    raise exception 'Cannot change account: no such account' using errcode = 'EP404';
  elsif v_status = 'closed' then
    raise exception 'Cannot change account: it is closed' using errcode = 'EP409';
  end if;
  update accounts set status = case when p_suspended then 'suspended'::account_status else 'active' end
  where id = p_account;
  perform append_audit(
    case when p_suspended then 'account_suspended'::audit_action else 'account_reinstated' end, p_account, null, p_reason
  );
end
$$;

-- Closes for good: its keys stop at once, and erasure begins to count (right.delete). EP402 while there is credit
-- left: it is refunded or, with consent, forfeited first, by a billing event; erasure would lose it without a trace.
create function admin_close_account(p_account uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform from balances where account_id = p_account for no key update;
  if (select credited_micro - consumed_micro > coalesce((select sum(consumed_micro) from leases where account_id = p_account), 0)
      from balances where account_id = p_account)
    and exists (select from accounts where id = p_account and status <> 'closed') then
    raise exception 'Cannot close account: it has credit left' using errcode = 'EP402';
  end if;
  update accounts set status = 'closed', closed_at = now() where id = p_account and status <> 'closed';
  if not found then
    if not exists (select from accounts where id = p_account) then
      raise exception 'Cannot close account: no such account' using errcode = 'EP404';
    end if;
    return;
  end if;
  update api_keys set revoked_at = now() where account_id = p_account and revoked_at is null;
  perform append_audit('account_closed', p_account);
end
$$;

-- EP404: no such account. EP409: it is closed.
create function admin_create_key(
  p_account uuid, p_hash bytea, p_prefix text, p_name text, p_scopes text[], p_models text[],
  p_expires_at timestamptz, p_requests_per_minute integer, p_tokens_per_minute integer
) returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_status account_status;
  v_key uuid;
begin
  select status into v_status from accounts where id = p_account for key share;
  if not found then
    raise exception 'Cannot create key: no such account' using errcode = 'EP404';
  elsif v_status = 'closed' then
    raise exception 'Cannot create key: the account is closed' using errcode = 'EP409';
  end if;
  insert into api_keys (
    account_id, hash, prefix, name, scopes, models, expires_at, requests_per_minute, tokens_per_minute
  ) values (
    p_account, p_hash, p_prefix, p_name, p_scopes, p_models, p_expires_at, p_requests_per_minute, p_tokens_per_minute
  ) returning id into v_key;
  perform append_audit('key_created', p_account, v_key);
  return v_key;
end
$$;

-- Revoking twice is revoking once. EP404: no such key.
create function admin_revoke_key(p_key uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  update api_keys set revoked_at = now() where id = p_key and revoked_at is null returning account_id into v_account;
  if found then
    perform append_audit('key_revoked', v_account, p_key);
  elsif not exists (select from api_keys where id = p_key) then
    raise exception 'Cannot revoke key: no such key' using errcode = 'EP404';
  end if;
end
$$;

-- As post_billing_event, which tells a repeated key from a new event; only a new one is audited.
create function admin_post_billing_event(
  p_account uuid, p_kind billing_kind, p_amount_micro bigint, p_reason billing_reason, p_idempotency_key uuid
) returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_event uuid := post_billing_event(p_account, p_kind, p_amount_micro, p_reason, p_idempotency_key);
begin
  if not exists (select from audit_log where action = 'billing_event_posted' and object_id = v_event) then
    perform append_audit('billing_event_posted', p_account, v_event);
  end if;
  return v_event;
end
$$;

-- EP409: a model has the name.
create function admin_create_model(
  p_name text, p_kind model_kind, p_context_tokens integer, p_output_tokens_max integer,
  p_template_tokens integer, p_image_tokens_max integer
) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if exists (select from models where name = p_name) then
    raise exception 'Cannot create model: there is one of that name' using errcode = 'EP409';
  end if;
  perform create_model(p_name, p_kind, p_context_tokens, p_output_tokens_max, p_template_tokens, p_image_tokens_max);
  perform append_audit('model_created');
end
$$;

create function admin_set_model_enabled(p_name text, p_enabled boolean) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update models set enabled = p_enabled where name = p_name;
  if not found then
    raise exception 'Cannot change model: there is none of that name' using errcode = 'EP404';
  end if;
  perform append_audit(case when p_enabled then 'model_enabled'::audit_action else 'model_disabled' end);
end
$$;

create function admin_create_price(
  p_model text, p_effective_at timestamptz, p_input_micro bigint, p_cached_input_micro bigint,
  p_output_micro bigint, p_image_micro bigint
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_version integer := create_price(
    p_model, p_effective_at, p_input_micro, p_cached_input_micro, p_output_micro, p_image_micro
  );
begin
  perform append_audit('price_created');
  return v_version;
end
$$;

-- An operator has looked at the database's clock: purge, which refused to delete after a gap, may delete again. EP404:
-- it has refused nothing.
create function admin_confirm_purge_gap() returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform confirm_purge_gap('operator');
  perform append_audit('purge_gap_confirmed');
end
$$;

-- EP404: no such account.
create function admin_balance(p_account uuid, out balance_micro bigint, out available_micro bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  select
    b.credited_micro - b.consumed_micro - coalesce((select sum(l.consumed_micro) from leases l where l.account_id = b.account_id), 0),
    b.credited_micro - b.consumed_micro - b.leased_micro
  into balance_micro, available_micro
  from balances b where b.account_id = p_account;
  if not found then
    raise exception 'Cannot read balance: no such account' using errcode = 'EP404';
  end if;
end
$$;

grant execute on function admin_create_account(text, text) to epithre_admin;
grant execute on function admin_set_suspended(uuid, boolean, suspension_reason) to epithre_admin;
grant execute on function admin_close_account(uuid) to epithre_admin;
grant execute on function admin_create_key(uuid, bytea, text, text, text[], text[], timestamptz, integer, integer)
  to epithre_admin;
grant execute on function admin_revoke_key(uuid) to epithre_admin;
grant execute on function admin_post_billing_event(uuid, billing_kind, bigint, billing_reason, uuid) to epithre_admin;
grant execute on function admin_create_model(text, model_kind, integer, integer, integer, integer) to epithre_admin;
grant execute on function admin_set_model_enabled(text, boolean) to epithre_admin;
grant execute on function admin_create_price(text, timestamptz, bigint, bigint, bigint, bigint) to epithre_admin;
grant execute on function admin_balance(uuid) to epithre_admin;
grant execute on function admin_confirm_purge_gap() to epithre_admin;
