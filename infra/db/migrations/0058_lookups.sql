-- policy: keep.audit, use.audit, use.account (what operators look up about a person leaves a row too)
--
-- What operators see. Whoever is found or opened is named by a row of the audit log, in the same transaction; what names
-- nobody (models, health, purge) is read without.

-- By one of: address, id, or the first 12 characters of a key; 10 at most. A search that finds nobody leaves a row as
-- well, without the words.
create function admin_find_accounts(p_email text, p_account uuid, p_key_prefix text, out id uuid, out status account_status)
returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
begin
  for id, status in
    select a.id, a.status from accounts a
    where a.id = p_account
      or a.id in (select p.account_id from persons p where lower(p.email) = lower(p_email))
      or a.id in (select k.account_id from api_keys k where k.prefix = p_key_prefix)
    order by a.id limit 10
  loop
    perform append_audit('account_viewed', id);
    return next;
  end loop;
  if not found then
    perform append_audit('account_searched');
  end if;
end
$$;

-- All that an operator needs to know of an account; money as text, for JSON numbers lose digits. EP404: no such account.
create function admin_read_account(p_account uuid) returns jsonb
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account jsonb;
begin
  select jsonb_build_object(
    'id', a.id,
    'status', a.status,
    'openedAt', uuid_extract_timestamp(a.id),
    'closedAt', a.closed_at,
    'email', p.email,
    'name', p.name,
    'balanceMicro', (
      coalesce(b.credited_micro - b.consumed_micro, 0)
      - coalesce((select sum(l.consumed_micro) from leases l where l.account_id = a.id), 0)
    )::text,
    'availableMicro', coalesce(b.credited_micro - b.consumed_micro - b.leased_micro, 0)::text,
    'keys', coalesce((
      select jsonb_agg(jsonb_build_object(
        'id', k.id, 'prefix', k.prefix, 'name', k.name, 'scopes', k.scopes, 'models', k.models, 'createdAt', uuid_extract_timestamp(k.id),
        'expiresAt', k.expires_at, 'revokedAt', k.revoked_at, 'requestsPerMinute', k.requests_per_minute,
        'tokensPerMinute', k.tokens_per_minute, 'monthlyBudgetMicro', k.monthly_budget_micro::text
      ) order by k.id desc) from (select * from api_keys where account_id = a.id order by id desc limit 100) as k
    ), '[]'),
    'billingEvents', coalesce((
      select jsonb_agg(jsonb_build_object(
        'id', e.id, 'kind', e.kind, 'reason', e.reason, 'amountMicro', e.amount_micro::text, 'at', e.created_at
      ) order by e.created_at desc)
      from (select * from billing_events where account_id = a.id order by created_at desc limit 50) as e
    ), '[]')
  ) into v_account
  from accounts a
  left join persons p on p.account_id = a.id
  left join balances b on b.account_id = a.id
  where a.id = p_account;
  if v_account is null then
    raise exception 'Cannot read account: no such account' using errcode = 'EP404';
  end if;
  perform append_audit('account_viewed', p_account);
  return v_account;
end
$$;

-- Whose an invoice is, is about a person as well.
create or replace function admin_find_invoices(p_year integer, p_number integer, p_account uuid) returns setof invoices
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  for v_account in
    select distinct i.account_id from invoices i where (i.year = p_year and i.number = p_number) or i.account_id = p_account
  loop
    perform append_audit('account_viewed', v_account);
  end loop;
  if not found then
    perform append_audit('account_searched');
  end if;
  return query
  select * from invoices i
  where (i.year = p_year and i.number = p_number) or i.account_id = p_account
  order by i.id desc limit 100;
end
$$;

-- EP404: no such account.
create or replace function admin_balance(p_account uuid, out balance_micro bigint, out available_micro bigint)
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
  perform append_audit('account_viewed', p_account);
end
$$;

-- Models with the price in force and those to come, and how their calls of the last minutes went.
create function admin_list_models(p_minutes integer) returns jsonb
language sql stable security definer set search_path = public, pg_temp as $$
  with calls as (
    select
      model_id, count(*) as requests, count(*) filter (where status >= 500) as failed,
      percentile_cont(0.95) within group (order by latency_ms) as latency
    from usage_events
    where id >= uuidv7_floor(now() - make_interval(mins => least(p_minutes, 60)))
    group by model_id
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', m.name, 'kind', m.kind, 'enabled', m.enabled, 'contextTokens', m.context_tokens, 'outputTokensMax', m.output_tokens_max,
    'retirementAnnouncedAt', m.retirement_announced_at, 'retiresAt', m.retires_at,
    'prices', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'version', p.version, 'effectiveAt', p.effective_at, 'inputMicro', p.input_micro, 'cachedInputMicro', p.cached_input_micro,
        'outputMicro', p.output_micro, 'imageMicro', p.image_micro
      ) order by p.effective_at, p.version), '[]')
      from prices p
      where p.model_id = m.id and p.line_of is null and p.effective_at >= (
        select max(f.effective_at) from prices f where f.model_id = m.id and f.line_of is null and f.effective_at <= now()
      )
    ),
    'requests', coalesce(c.requests, 0), 'failed', coalesce(c.failed, 0), 'latencyMs', round(c.latency)
  ) order by m.name), '[]')
  from models m left join calls c on c.model_id = m.id
$$;

-- Engines by the digest of their address, and when each last told its counters (reconcile asks every 5 minutes).
create function admin_list_engines(out backend uuid, out models text[], out read_at timestamptz)
returns setof record language sql stable security definer set search_path = public, pg_temp as $$
  select c.backend, array_agg(m.name order by m.name), max(c.read_at)
  from engine_counters c join models m on m.id = c.model_id
  group by c.backend order by c.backend
$$;

-- Newest first, before (p_at, p_id); each filter that is not null must fit. The account of a row is known until erasure.
-- Looking at what there is about an account, or at the log at all, leaves a row; turning a page does not.
create function admin_read_audit(
  p_account uuid, p_operator uuid, p_action audit_action, p_from timestamptz, p_to timestamptz,
  p_at timestamptz, p_id bigint, p_rows_max integer,
  out id bigint, out at text, out actor audit_actor, out action audit_action, out operator text, out account_id uuid,
  out object_id uuid, out reason suspension_reason
) returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if p_at is null then
    perform append_audit(case when p_account is null then 'audit_viewed'::audit_action else 'account_viewed' end, p_account);
  end if;
  return query
  select l.id, audit_text(l.at), l.actor, l.action, o.name, a.id, l.object_id, l.reason
  from audit_log l
  left join operators o on o.id = l.operator_id
  left join accounts a on a.audit_alias = l.subject_alias
  where (p_at is null or (l.at, l.id) < (p_at, p_id))
    and (p_account is null or l.subject_alias = (select s.audit_alias from accounts s where s.id = p_account))
    and (p_operator is null or l.operator_id = p_operator)
    and (p_action is null or l.action = p_action)
    and (p_from is null or l.at >= p_from) and (p_to is null or l.at < p_to)
  order by l.at desc, l.id desc
  limit least(p_rows_max, 500);
end
$$;

create function admin_list_audit_days(p_days_max integer, out day date, out rows integer, out head text, out sealed_until text)
returns setof record language sql stable security definer set search_path = public, pg_temp as $$
  select day, rows, encode(head, 'hex'), audit_text(sealed_until) from audit_days order by day desc limit least(p_days_max, 366)
$$;

-- The signed days from the oldest row that there is to now, or a part of them. Leaves a row.
create function admin_export_audit(p_from date, p_to date, out day date, out statement text)
returns setof record language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform append_audit('audit_exported');
  return query
  select d.day, d.statement from audit_days d
  where d.day >= greatest(p_from, (select (min(l.at) at time zone 'UTC')::date from audit_log l)) and (p_to is null or d.day <= p_to)
  order by d.day;
end
$$;

-- The evidence of retention: the last runs of purge, with what each step did and the limit that it applied.
create function admin_list_purge_runs(p_runs_max integer) returns jsonb
language sql stable security definer set search_path = public, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', r.id, 'state', r.state, 'startedAt', r.started_at, 'finishedAt', r.finished_at, 'earlyDays', r.early_days,
    'stepsLeft', r.steps_left, 'confirmedAt', r.confirmed_at,
    'steps', (
      select coalesce(jsonb_agg(jsonb_build_object('step', s.step, 'liveDays', s.live_days, 'done', s.done) order by s.step), '[]')
      from purge_steps s where s.run_id = r.id
    )
  ) order by r.started_at desc), '[]')
  from (select * from purge_runs order by started_at desc limit least(p_runs_max, 200)) as r
$$;

grant execute on function admin_find_accounts(text, uuid, text) to epithre_admin;
grant execute on function admin_read_account(uuid) to epithre_admin;
grant execute on function admin_list_models(integer) to epithre_admin;
grant execute on function admin_list_engines() to epithre_admin;
grant execute on function admin_read_audit(uuid, uuid, audit_action, timestamptz, timestamptz, timestamptz, bigint, integer)
  to epithre_admin;
grant execute on function admin_list_audit_days(integer) to epithre_admin;
grant execute on function admin_export_audit(date, date) to epithre_admin;
grant execute on function admin_list_purge_runs(integer) to epithre_admin;
