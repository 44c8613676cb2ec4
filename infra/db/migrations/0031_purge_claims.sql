-- policy: keep.usage (idempotency claims: 24 hours, then the next run of purge)

alter type purge_step add value 'idempotency_claims';

-- Deletes up to p_rows_max claims that no longer count, oldest first, and answers how many. EP409: the run may not
-- delete, or the claims would go while they count. Backups make this no earlier: see shared/stored-data.ts, `expire`.
create function delete_expired_claims(
  p_run uuid, p_live_hours integer, p_lead_hours integer, p_rows_max integer
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_hours integer := p_live_hours - p_lead_hours;
  v_deleted integer;
begin
  if not exists (select from purge_runs where id = p_run and state = 'running') then
    raise exception 'Cannot purge: this run may not delete' using errcode = 'EP409';
  end if;
  if v_hours is null or v_hours < 24 or p_lead_hours not between 0 and 6 then
    raise exception 'Cannot purge: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  delete from idempotency_claims where (account_id, digest) in (
    select account_id, digest from idempotency_claims
    where claimed_at <= now() - make_interval(hours => v_hours) order by claimed_at limit p_rows_max
  );
  get diagnostics v_deleted = row_count;
  -- The evidence counts in days: rounded up.
  perform note_purge_step(p_run, 'idempotency_claims', ceil(p_live_hours / 24.0)::integer, v_deleted);
  return v_deleted;
end
$$;

grant execute on function delete_expired_claims(uuid, integer, integer, integer) to epithre_purge;
