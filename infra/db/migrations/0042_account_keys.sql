-- policy: keep.key (keys that their owner makes), keep.audit (keys made, rotated and revoked: 365 days)
--
-- As 0011 and 0022 do it for operators, for an account's own keys alone: another account's is not there (EP404).

create index if not exists audit_log_subject on audit_log (subject_alias, id);

create function append_account_audit(p_action audit_action, p_account uuid, p_object uuid) returns void
language sql set search_path = public, pg_temp as $$
  insert into audit_log (actor, action, subject_alias, object_id)
  values ('account', p_action, (select audit_alias from accounts where id = p_account), p_object)
$$;

-- EP409: the account is suspended or closed. EP429: it has p_live_max keys that work, or p_all_max altogether: expired
-- ones, and revoked ones until they are forgotten, take space too.
create function expect_room_for_key(p_account uuid, p_live_max integer, p_all_max integer) returns void
language plpgsql set search_path = public, pg_temp as $$
begin
  -- One at a time for an account.
  perform from accounts where id = p_account and status = 'active' for no key update;
  if not found then
    raise exception 'Cannot create key: the account may not' using errcode = 'EP409';
  end if;
  if (
    select count(*) >= p_all_max
      or count(*) filter (where revoked_at is null and (expires_at is null or expires_at > now())) >= p_live_max
    from api_keys where account_id = p_account
  ) then
    raise exception 'Cannot create key: the account has too many' using errcode = 'EP429';
  end if;
end
$$;

create function account_create_key(
  p_account uuid, p_hash bytea, p_prefix text, p_name text, p_scopes text[], p_models text[], p_expires_at timestamptz,
  p_requests_per_minute integer, p_tokens_per_minute integer, p_monthly_budget_micro bigint, p_live_max integer,
  p_all_max integer
) returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_key uuid;
begin
  perform expect_room_for_key(p_account, p_live_max, p_all_max);
  insert into api_keys (
    account_id, hash, prefix, name, scopes, models, expires_at, requests_per_minute, tokens_per_minute,
    monthly_budget_micro
  ) values (
    p_account, p_hash, p_prefix, p_name, p_scopes, p_models, p_expires_at, p_requests_per_minute, p_tokens_per_minute,
    p_monthly_budget_micro
  ) returning id into v_key;
  perform append_account_audit('key_created', p_account, v_key);
  return v_key;
end
$$;

-- Sets what p_changes has, by the names of the columns. EP404: the account has no such key. EP409: it is revoked.
create function account_change_key(p_account uuid, p_key uuid, p_changes jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_key api_keys;
  v_new api_keys;
begin
  select * into v_key from api_keys where id = p_key and account_id = p_account for no key update;
  if not found then
    raise exception 'Cannot change key: no such key' using errcode = 'EP404';
  elsif v_key.revoked_at is not null then
    raise exception 'Cannot change key: it is revoked' using errcode = 'EP409';
  end if;
  v_new := jsonb_populate_record(v_key, p_changes);
  update api_keys set
    name = v_new.name,
    models = v_new.models,
    expires_at = v_new.expires_at,
    requests_per_minute = v_new.requests_per_minute,
    tokens_per_minute = v_new.tokens_per_minute,
    monthly_budget_micro = v_new.monthly_budget_micro
  where id = p_key;
  perform from leases where key_id = p_key order by id for update;
  update leases set recall_requested_at = now(), recall_answered_at = null where key_id = p_key;
end
$$;

-- Revoking twice is revoking once. EP404: the account has no such key.
create function account_revoke_key(p_account uuid, p_key uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update api_keys set revoked_at = now() where id = p_key and account_id = p_account and revoked_at is null;
  if found then
    perform append_account_audit('key_revoked', p_account, p_key);
  elsif not exists (select from api_keys where id = p_key and account_id = p_account) then
    raise exception 'Cannot revoke key: no such key' using errcode = 'EP404';
  end if;
end
$$;

-- A new key with the settings of one that works, which ends after p_overlap; with none, at once. What the old one has
-- spent of a monthly budget counts for the new one too, and from then on each has it for itself.
create function account_rotate_key(
  p_account uuid, p_key uuid, p_hash bytea, p_prefix text, p_overlap interval, p_live_max integer, p_all_max integer
) returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_old api_keys;
  v_key uuid;
begin
  select * into v_old from api_keys where id = p_key and account_id = p_account;
  if not found then
    raise exception 'Cannot rotate key: no such key' using errcode = 'EP404';
  end if;
  perform expect_room_for_key(p_account, p_live_max, p_all_max);
  select * into v_old from api_keys where id = p_key and account_id = p_account for no key update;
  if v_old.revoked_at is not null or v_old.expires_at <= now() then
    raise exception 'Cannot rotate key: it is revoked or expired' using errcode = 'EP410';
  end if;
  insert into api_keys (
    account_id, hash, prefix, name, scopes, models, expires_at, requests_per_minute, tokens_per_minute,
    monthly_budget_micro
  ) values (
    p_account, p_hash, p_prefix, v_old.name, v_old.scopes, v_old.models, v_old.expires_at, v_old.requests_per_minute,
    v_old.tokens_per_minute, v_old.monthly_budget_micro
  ) returning id into v_key;
  insert into key_budgets (key_id, month, spent_micro)
  select v_key, b.month, b.spent_micro + coalesce((select sum(l.consumed_micro) from leases l where l.key_id = p_key), 0)
  from key_budgets b where b.key_id = p_key;
  perform append_account_audit('key_created', p_account, v_key);
  perform append_account_audit('key_rotated', p_account, p_key);
  if p_overlap > interval '0' then
    update api_keys set expires_at = least(expires_at, now() + p_overlap) where id = p_key;
  else
    perform account_revoke_key(p_account, p_key);
  end if;
  return v_key;
end
$$;

-- The newest first.
create function account_keys(p_account uuid) returns table (
  id uuid, prefix text, name text, scopes text[], models text[], expires_at timestamptz, requests_per_minute integer,
  tokens_per_minute integer, monthly_budget_micro bigint, revoked_at timestamptz
) language sql stable security definer set search_path = public, pg_temp as $$
  select
    id, prefix, name, scopes, models, expires_at, requests_per_minute, tokens_per_minute, monthly_budget_micro, revoked_at
  from api_keys where account_id = p_account order by id desc
$$;

-- The last call of each key among the account's last p_calls. `oldest` is the first of those where there are more.
create function account_key_use(p_account uuid, p_calls integer) returns table (key_id uuid, last_call uuid, oldest uuid)
language sql stable security definer set search_path = public, pg_temp as $$
  with calls as (
    select u.key_id, u.id from usage_events u where u.account_id = p_account order by u.id desc limit p_calls
  )
  select distinct on (c.key_id) c.key_id, c.id, (select id from calls order by id desc limit 1 offset p_calls - 1)
  from calls c order by c.key_id, c.id desc
$$;

grant execute on function account_create_key(
  uuid, bytea, text, text, text[], text[], timestamptz, integer, integer, bigint, integer, integer
) to epithre_accounts;
grant execute on function account_change_key(uuid, uuid, jsonb) to epithre_accounts;
grant execute on function account_revoke_key(uuid, uuid) to epithre_accounts;
grant execute on function account_rotate_key(uuid, uuid, bytea, text, interval, integer, integer) to epithre_accounts;
grant execute on function account_keys(uuid) to epithre_accounts;
grant execute on function account_key_use(uuid, integer) to epithre_accounts;
