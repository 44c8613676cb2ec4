-- policy: keep.key (a key's limits, models and expiry count as its scopes), keep.audit (admin actions: 365 days)

alter type audit_action add value 'key_limits_changed';

-- EP404: no such account. EP409: it is closed.
drop function admin_create_key(uuid, bytea, text, text, text[], text[], timestamptz, integer, integer);
create function admin_create_key(
  p_account uuid, p_hash bytea, p_prefix text, p_name text, p_scopes text[], p_models text[],
  p_expires_at timestamptz, p_requests_per_minute integer, p_tokens_per_minute integer,
  p_monthly_budget_micro bigint default null
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
    account_id, hash, prefix, name, scopes, models, expires_at, requests_per_minute, tokens_per_minute,
    monthly_budget_micro
  ) values (
    p_account, p_hash, p_prefix, p_name, p_scopes, p_models, p_expires_at, p_requests_per_minute, p_tokens_per_minute,
    p_monthly_budget_micro
  ) returning id into v_key;
  perform append_audit('key_created', p_account, v_key);
  return v_key;
end
$$;

-- Sets those limits that p_limits has, by the names of their columns; null takes one away. Replicas know by the change
-- feed; what they have leased under another budget they are asked to return. EP404: no such key. EP409: it is revoked.
create function admin_set_key_limits(p_key uuid, p_limits jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_key api_keys;
  v_new api_keys;
begin
  select * into v_key from api_keys where id = p_key for no key update;
  if not found then
    raise exception 'Cannot change limits: no such key' using errcode = 'EP404';
  elsif v_key.revoked_at is not null then
    raise exception 'Cannot change limits: the key is revoked' using errcode = 'EP409';
  end if;
  v_new := jsonb_populate_record(v_key, p_limits);
  update api_keys set
    models = v_new.models,
    expires_at = v_new.expires_at,
    requests_per_minute = v_new.requests_per_minute,
    tokens_per_minute = v_new.tokens_per_minute,
    monthly_budget_micro = v_new.monthly_budget_micro
  where id = p_key;
  perform from leases where key_id = p_key order by id for update;
  update leases set recall_requested_at = now(), recall_answered_at = null where key_id = p_key;
  perform append_audit('key_limits_changed', v_key.account_id, p_key);
end
$$;

grant execute on function
  admin_create_key(uuid, bytea, text, text, text[], text[], timestamptz, integer, integer, bigint) to epithre_admin;
grant execute on function admin_set_key_limits(uuid, jsonb) to epithre_admin;
