-- policy: keep.billing (an unpaid invoice 90 days after it was due), right.delete (unpaid ones with their account)
--
-- The functions of 0010 as they were, with invoices.

-- Until when rows are due in this step. EP409: the run may not delete (refused, over, or another has begun), or the
-- limit is shorter than backups can ask for.
create or replace function purge_cutoff(p_run uuid, p_step purge_step, p_live_days integer, p_lead_hours integer) returns timestamptz
language plpgsql set search_path = public, pg_temp as $$
declare
  v_shortest_days constant integer := case p_step
    when 'usage_events' then 60
    when 'api_keys' then 60
    when 'audit_log' then 335
    when 'outbox' then 1
    when 'billing_events' then 2520
    when 'purge_runs' then 335
    when 'invoices' then 60
    when 'accounts' then 1
  end;
begin
  if not exists (select from purge_runs where id = p_run and state = 'running') then
    raise exception 'Cannot purge: this run may not delete' using errcode = 'EP409';
  end if;
  if p_live_days is null or v_shortest_days is null or p_live_days < v_shortest_days or p_lead_hours not between 0 and 6 then
    raise exception 'Cannot purge: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  return now() - make_interval(days => p_live_days) + make_interval(hours => p_lead_hours);
end
$$;

-- Deletes up to p_rows_max rows that are due in a table, oldest first, and answers how many.
create or replace function delete_due_rows(
  p_run uuid, p_step purge_step, p_live_days integer, p_lead_hours integer, p_rows_max integer
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_cutoff timestamptz := purge_cutoff(p_run, p_step, p_live_days, p_lead_hours);
  v_deleted integer;
begin
  case p_step
    when 'api_keys' then
      delete from api_keys where id in (
        select id from api_keys where revoked_at <= v_cutoff order by revoked_at limit p_rows_max
      );
    when 'audit_log' then
      delete from audit_log where id in (select id from audit_log where at <= v_cutoff order by at limit p_rows_max);
    when 'outbox' then
      delete from outbox where id in (
        select id from outbox where created_at <= v_cutoff order by created_at limit p_rows_max
      );
    when 'billing_events' then
      delete from billing_events where id in (
        select id from billing_events where created_at <= v_cutoff order by created_at limit p_rows_max
      );
    when 'invoices' then
      -- A paid one goes with its billing event.
      delete from invoices where id in (
        select id from invoices where state <> 'paid' and due_at <= v_cutoff order by due_at limit p_rows_max
      );
    when 'purge_runs' then
      delete from purge_runs where id in (
        select id from purge_runs where started_at <= v_cutoff order by started_at limit p_rows_max
      );
  end case;
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, p_step, p_live_days, v_deleted);
  return v_deleted;
end
$$;

-- Erases the account that has been closed for longest, with everything that is linked to it but billing events and the
-- invoices that they paid (right.delete). An account with more than p_rows_max usage events takes several calls. Its
-- audit rows name an alias, which goes with the account.
create or replace function erase_due_account(p_run uuid, p_grace_days integer, p_rows_max integer) returns erasure_outcome
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_cutoff timestamptz := purge_cutoff(p_run, 'accounts', p_grace_days, 0);
  v_account uuid;
  v_later_id uuid;
begin
  select id into v_account from accounts
  where status = 'closed' and closed_at <= v_cutoff
  order by closed_at limit 1 for update skip locked;
  if v_account is null then
    perform note_purge_step(p_run, 'accounts', p_grace_days, 0);
    return 'none';
  end if;

  select id into v_later_id from usage_events where account_id = v_account order by id offset p_rows_max limit 1;
  if v_later_id is not null then
    delete from usage_events where account_id = v_account and id < v_later_id;
    return 'more';
  end if;
  delete from usage_events where account_id = v_account;
  delete from outbox where account_id = v_account;
  delete from leases where account_id = v_account;
  delete from api_keys where account_id = v_account;
  delete from persons where account_id = v_account;
  delete from invoices where account_id = v_account and state <> 'paid';
  delete from balances where account_id = v_account;
  delete from accounts where id = v_account;
  perform note_purge_step(p_run, 'accounts', p_grace_days, 1);
  return 'erased';
end
$$;
