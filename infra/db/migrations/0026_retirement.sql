-- policy: none; announcements are the operator's. Their mail is about the account (keep.account, use.account).

alter type mail_template add value 'model_retirement';
alter type audit_action add value 'retirement_announced';
alter type audit_action add value 'retirement_withdrawn';

alter table models
  add column retirement_announced_at timestamptz,
  -- From then on the model is refused.
  add column retires_at timestamptz,
  add constraint models_retirement_whole check ((retirement_announced_at is null) = (retires_at is null)),
  add constraint models_retirement_ahead check (retires_at > retirement_announced_at);

-- Retirements whose recent users are being looked for, backwards: what began before this time is still to be read.
create table retirement_notices (
  model_id smallint primary key references models (id),
  before timestamptz not null
);

-- Mail that is not released yet: a walk over 90 days of usage takes many transactions, and queues each account once
-- because all its mail is there until the last is.
create function queue_retirement_mail() returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  c_step constant interval := '1 hour';
  v_notice retirement_notices;
begin
  select * into v_notice from retirement_notices order by model_id limit 1 for update skip locked;
  if not found then
    return false;
  elsif v_notice.before <= now() - interval '90 days' then
    update outbox set next_attempt_at = now() where template = 'model_retirement' and model_id = v_notice.model_id;
    delete from retirement_notices where model_id = v_notice.model_id;
    return true;
  end if;
  insert into outbox (account_id, template, model_id, next_attempt_at)
  select u.account_id, 'model_retirement', v_notice.model_id, 'infinity'
  from (
    select distinct account_id from usage_events
    where id >= uuidv7_floor(v_notice.before - c_step) and id < uuidv7_floor(v_notice.before) and model_id = v_notice.model_id
  ) as u
  join accounts a on a.id = u.account_id and a.status <> 'closed'
  where not exists (
    select from outbox o
    where o.account_id = u.account_id and o.template = 'model_retirement' and o.model_id = v_notice.model_id
  );
  update retirement_notices set before = v_notice.before - c_step where model_id = v_notice.model_id;
  return true;
end
$$;

-- EP404: no such model. EP409: it is announced already. EP410: the date is sooner than the notice.
create function admin_announce_retirement(p_name text, p_retires_at timestamptz, p_notice interval) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_model models;
begin
  select * into v_model from models where name = p_name for update;
  if not found then
    raise exception 'Cannot announce retirement: no such model' using errcode = 'EP404';
  elsif v_model.retires_at is not null then
    raise exception 'Cannot announce retirement: it is announced' using errcode = 'EP409';
  elsif p_retires_at < now() + p_notice then
    raise exception 'Cannot announce retirement: the date is too soon' using errcode = 'EP410';
  end if;
  update models set retirement_announced_at = now(), retires_at = p_retires_at where id = v_model.id;
  insert into retirement_notices (model_id, before) values (v_model.id, now());
  perform append_audit('retirement_announced');
end
$$;

-- Takes it back, with the mail that has not gone out yet. EP404: no such model, or nothing is announced. EP410: the
-- model is retired.
create function admin_withdraw_retirement(p_name text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_model models;
begin
  select * into v_model from models where name = p_name for update;
  if v_model.retires_at is null then
    raise exception 'Cannot withdraw retirement: none is announced' using errcode = 'EP404';
  elsif v_model.retires_at <= now() then
    raise exception 'Cannot withdraw retirement: its date has passed' using errcode = 'EP410';
  end if;
  update models set retirement_announced_at = null, retires_at = null where id = v_model.id;
  delete from retirement_notices where model_id = v_model.id;
  delete from outbox where template = 'model_retirement' and model_id = v_model.id;
  perform append_audit('retirement_withdrawn');
end
$$;

-- For the words of the mail; null where nothing is announced.
create function retirement_date(p_model text) returns timestamptz
language sql stable security definer set search_path = public, pg_temp as $$
  select retires_at from models where name = p_model
$$;

grant execute on function queue_retirement_mail() to epithre_notify;
grant execute on function retirement_date(text) to epithre_notify;
grant execute on function admin_announce_retirement(text, timestamptz, interval) to epithre_admin;
grant execute on function admin_withdraw_retirement(text) to epithre_admin;
