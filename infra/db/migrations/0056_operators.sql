-- policy: keep.audit (who operators are: staff, kept as long as the audit log may name them)
--
-- Operators sign in with passkeys. What proves who they are is kept as digests and public keys; nobody can sign in with
-- what a copy of these tables holds. Admin's role may call the functions below and nothing else.

-- The name is one that operators choose for each other, of one form.
create table operators (
  id uuid primary key default gen_random_uuid(),
  name text not null unique constraint operators_name_form check (name ~ '^[a-z][a-z0-9._-]{0,31}$'),
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);

create table operator_credentials (
  id bytea primary key constraint operator_credentials_id_length check (octet_length(id) between 1 and 1023),
  operator_id uuid not null references operators (id) on delete cascade,
  -- COSE; of the algorithms that are taken, RSA's is the longest.
  public_key bytea not null constraint operator_credentials_key_length check (octet_length(public_key) between 16 and 1024),
  -- Of uses, where the authenticator counts them: a copy of it is found when it falls behind.
  uses bigint not null constraint operator_credentials_uses_counted check (uses >= 0),
  created_at timestamptz not null default now()
);

create index operator_credentials_operator on operator_credentials (operator_id);

-- The SHA-256 of a token that only its operator's browser holds.
create table operator_sessions (
  digest bytea primary key constraint operator_sessions_digest_length check (octet_length(digest) = 32),
  operator_id uuid not null references operators (id) on delete cascade,
  expires_at timestamptz not null
);

create index operator_sessions_operator on operator_sessions (operator_id);

-- The SHA-256 of a word that enrols a passkey, once. Replaces: the operator's former passkeys and sessions end with it.
create table operator_invites (
  digest bytea primary key constraint operator_invites_digest_length check (octet_length(digest) = 32),
  operator_id uuid not null references operators (id) on delete cascade,
  replaces boolean not null,
  expires_at timestamptz not null
);

create index operator_invites_operator on operator_invites (operator_id);

-- The SHA-256 of a challenge and of what it is for. It is taken once.
create table operator_challenges (
  digest bytea primary key constraint operator_challenges_digest_length check (octet_length(digest) = 32),
  expires_at timestamptz not null
);

-- Who acts in this transaction: append_audit's rows name them (0057).
create function acting_operator() returns uuid language sql stable set search_path = public, pg_temp as $$
  select nullif(current_setting('epithre.operator', true), '')::uuid
$$;

create function act_as(p_operator uuid) returns void language plpgsql set search_path = public, pg_temp as $$
begin
  perform set_config('epithre.operator', p_operator::text, true);
end
$$;

-- EP401: the session has expired or ended, or its operator is no longer one. The rest of the transaction is the
-- operator's; it stands in the way of ending the session until it is over.
create function act_as_operator(p_session bytea) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_operator uuid;
begin
  select o.id into v_operator
  from operator_sessions s join operators o on o.id = s.operator_id
  where s.digest = p_session and s.expires_at > now() and o.disabled_at is null
  for share;
  if not found then
    raise exception 'Cannot act as operator: no such session' using errcode = 'EP401';
  end if;
  perform act_as(v_operator);
  return v_operator;
end
$$;

-- EP429: more are open than operators can have asked for.
create function open_operator_challenge(p_digest bytea, p_minutes integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  c_open_max constant integer := 1000;
begin
  delete from operator_challenges where expires_at <= now();
  if (select count(*) from operator_challenges) >= c_open_max then
    raise exception 'Cannot open challenge: too many are open' using errcode = 'EP429';
  end if;
  insert into operator_challenges (digest, expires_at) values (p_digest, now() + make_interval(mins => least(p_minutes, 60)));
end
$$;

-- Whether it was open; now it is not.
create function take_operator_challenge(p_digest bytea) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_expires_at timestamptz;
begin
  delete from operator_challenges where digest = p_digest returning expires_at into v_expires_at;
  return coalesce(v_expires_at > now(), false);
end
$$;

create function find_operator_credential(p_id bytea, out operator_id uuid, out public_key bytea, out uses bigint)
returns setof record language sql security definer set search_path = public, pg_temp as $$
  select c.operator_id, c.public_key, c.uses
  from operator_credentials c join operators o on o.id = c.operator_id
  where c.id = p_id and o.disabled_at is null
$$;

-- Begins a session of at most 12 hours, whose passkey was verified. EP401: the passkey is gone, or was used elsewhere
-- meanwhile.
create function sign_in_operator(p_credential bytea, p_uses bigint, p_session bytea, p_hours integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_operator uuid;
begin
  update operator_credentials c set uses = p_uses
  from operators o
  where c.id = p_credential and o.id = c.operator_id and o.disabled_at is null
    and (p_uses > c.uses or p_uses = 0 and c.uses = 0)
  returning o.id into v_operator;
  if not found then
    raise exception 'Cannot sign in: the passkey is not known' using errcode = 'EP401';
  end if;
  insert into operator_sessions (digest, operator_id, expires_at)
  values (p_session, v_operator, now() + make_interval(hours => least(p_hours, 12)));
  perform act_as(v_operator);
  perform append_audit('operator_signed_in', null, v_operator);
end
$$;

-- Ends the session, or all of its operator's.
create function sign_out_operator(p_session bytea, p_everywhere boolean) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from operator_sessions where operator_id = acting_operator() and (p_everywhere or digest = p_session);
  perform append_audit('operator_signed_out', null, acting_operator());
end
$$;

-- A new operator, who can do nothing before the invite is used. EP409: the name is taken.
create function create_operator(p_name text) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_operator uuid;
begin
  insert into operators (name) values (p_name) on conflict do nothing returning id into v_operator;
  if not found then
    raise exception 'Cannot create operator: the name is taken' using errcode = 'EP409';
  end if;
  perform append_audit('operator_created', null, v_operator);
  return v_operator;
end
$$;

-- A passkey may be enrolled, once, in place of all former ones or beside them; an earlier invite no longer counts.
-- EP404: no such operator, or disabled.
create function invite_operator(p_operator uuid, p_invite bytea, p_replaces boolean, p_hours integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform from operators where id = p_operator and disabled_at is null for update;
  if not found then
    raise exception 'Cannot invite operator: no such operator' using errcode = 'EP404';
  end if;
  delete from operator_invites where operator_id = p_operator;
  insert into operator_invites (digest, operator_id, replaces, expires_at)
  values (p_invite, p_operator, p_replaces, now() + make_interval(hours => least(p_hours, 72)));
  perform append_audit('operator_invited', null, p_operator);
end
$$;

create function find_operator_invite(p_invite bytea, out operator_id uuid, out name text)
returns setof record language sql security definer set search_path = public, pg_temp as $$
  select o.id, o.name from operator_invites i join operators o on o.id = i.operator_id
  where i.digest = p_invite and i.expires_at > now() and o.disabled_at is null
$$;

-- Enrols the passkey that an invite was for. EP401: the invite was used, has expired or was withdrawn. EP409: the passkey
-- is somebody's already.
create function enrol_operator(p_invite bytea, p_credential bytea, p_public_key bytea, p_uses bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_operator uuid;
  v_replaces boolean;
begin
  delete from operator_invites i using operators o
  where i.digest = p_invite and i.expires_at > now() and o.id = i.operator_id and o.disabled_at is null
  returning o.id, i.replaces into v_operator, v_replaces;
  if not found then
    raise exception 'Cannot enrol passkey: no such invite' using errcode = 'EP401';
  end if;
  if v_replaces then
    delete from operator_credentials where operator_id = v_operator;
    delete from operator_sessions where operator_id = v_operator;
  end if;
  insert into operator_credentials (id, operator_id, public_key, uses) values (p_credential, v_operator, p_public_key, p_uses)
  on conflict do nothing;
  if not found then
    raise exception 'Cannot enrol passkey: it is known' using errcode = 'EP409';
  end if;
  perform act_as(v_operator);
  perform append_audit('operator_enrolled', null, v_operator);
end
$$;

-- Ends an operator's passkeys, sessions and invites. EP404: no such operator, or disabled already. EP409: nobody would be
-- left who can sign in.
create function disable_operator(p_operator uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  lock table operators in share row exclusive mode;
  update operators set disabled_at = now() where id = p_operator and disabled_at is null;
  if not found then
    raise exception 'Cannot disable operator: no such operator' using errcode = 'EP404';
  end if;
  if not exists (
    select from operators o join operator_credentials c on c.operator_id = o.id where o.disabled_at is null
  ) then
    raise exception 'Cannot disable operator: it is the last one' using errcode = 'EP409';
  end if;
  delete from operator_credentials where operator_id = p_operator;
  delete from operator_sessions where operator_id = p_operator;
  delete from operator_invites where operator_id = p_operator;
  perform append_audit('operator_disabled', null, p_operator);
end
$$;

create function list_operators(
  out id uuid, out name text, out created_at timestamptz, out disabled_at timestamptz, out passkeys integer, out sessions integer
) returns setof record language sql security definer set search_path = public, pg_temp as $$
  select
    o.id, o.name, o.created_at, o.disabled_at,
    (select count(*)::integer from operator_credentials c where c.operator_id = o.id),
    (select count(*)::integer from operator_sessions s where s.operator_id = o.id and s.expires_at > now())
  from operators o order by o.disabled_at is not null, o.name
$$;

-- At the machine only, for work that no person sits at: a session of an operator who has no passkey, made when it is
-- not there. EP409: it has one, or is disabled.
create function open_operator_session(p_name text, p_session bytea, p_days integer) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_operator uuid;
begin
  insert into operators (name) values (p_name) on conflict do nothing;
  select o.id into v_operator from operators o
  where o.name = p_name and o.disabled_at is null
    and not exists (select from operator_credentials c where c.operator_id = o.id)
  for update;
  if not found then
    raise exception 'Cannot open session: the operator has a passkey, or is disabled' using errcode = 'EP409';
  end if;
  insert into operator_sessions (digest, operator_id, expires_at)
  values (p_session, v_operator, now() + make_interval(days => least(p_days, 90)))
  on conflict (digest) do update set expires_at = excluded.expires_at where operator_sessions.operator_id = v_operator;
  perform append_audit('operator_session_opened', null, v_operator);
  return v_operator;
end
$$;

-- Deletes what no longer counts: sessions, invites and challenges that have expired, and operators that were disabled
-- longer ago than the audit log names anybody. EP409: the run may not delete, or the limit is shorter than any policy has.
create function delete_due_operators(
  p_run uuid, p_live_days integer, p_lead_hours integer, p_rows_max integer
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_deleted integer;
begin
  if not exists (select from purge_runs where id = p_run and state = 'running') then
    raise exception 'Cannot purge: this run may not delete' using errcode = 'EP409';
  end if;
  if p_live_days is null or p_live_days < 335 or p_lead_hours not between 0 and 6 then
    raise exception 'Cannot purge: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  delete from operators where id in (
    select id from operators
    where disabled_at <= now() - make_interval(days => p_live_days) + make_interval(hours => p_lead_hours)
    order by disabled_at limit p_rows_max
  );
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, 'operators', p_live_days, v_deleted);
  return v_deleted;
end
$$;

create function delete_expired_logins(p_run uuid, p_step purge_step, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_deleted integer;
begin
  if not exists (select from purge_runs where id = p_run and state = 'running') then
    raise exception 'Cannot purge: this run may not delete' using errcode = 'EP409';
  end if;
  delete from operator_challenges where expires_at <= now();
  case p_step
    when 'operator_sessions' then
      delete from operator_sessions where digest in (
        select digest from operator_sessions where expires_at <= now() limit p_rows_max
      );
    when 'operator_invites' then
      delete from operator_invites where digest in (
        select digest from operator_invites where expires_at <= now() limit p_rows_max
      );
  end case;
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, p_step, null, v_deleted);
  return v_deleted;
end
$$;

grant execute on function act_as_operator(bytea) to epithre_admin;
grant execute on function open_operator_challenge(bytea, integer) to epithre_admin;
grant execute on function take_operator_challenge(bytea) to epithre_admin;
grant execute on function find_operator_credential(bytea) to epithre_admin;
grant execute on function sign_in_operator(bytea, bigint, bytea, integer) to epithre_admin;
grant execute on function sign_out_operator(bytea, boolean) to epithre_admin;
grant execute on function create_operator(text) to epithre_admin;
grant execute on function invite_operator(uuid, bytea, boolean, integer) to epithre_admin;
grant execute on function find_operator_invite(bytea) to epithre_admin;
grant execute on function enrol_operator(bytea, bytea, bytea, bigint) to epithre_admin;
grant execute on function disable_operator(uuid) to epithre_admin;
grant execute on function list_operators() to epithre_admin;
grant execute on function delete_due_operators(uuid, integer, integer, integer) to epithre_purge;
grant execute on function delete_expired_logins(uuid, purge_step, integer) to epithre_purge;
