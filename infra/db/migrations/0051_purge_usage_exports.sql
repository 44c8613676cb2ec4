-- policy: keep.usage (files of the usage log: 24 hours; export ends them, and purge those that it did not)

alter type purge_step add value 'usage_exports';

-- Deletes up to p_rows_max exports that are over, oldest first, and answers how many: export's next run deletes what the
-- object store has of them. EP409: the run may not delete, or they would go while they count. Backups make this no
-- earlier: see shared/stored-data.ts, `expire`.
create function delete_expired_exports(
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
  delete from usage_exports where id in (
    select id from usage_exports where created_at <= now() - make_interval(hours => v_hours) order by created_at limit p_rows_max
  );
  get diagnostics v_deleted = row_count;
  -- The evidence counts in days: rounded up.
  perform note_purge_step(p_run, 'usage_exports', ceil(p_live_hours / 24.0)::integer, v_deleted);
  return v_deleted;
end
$$;

grant execute on function delete_expired_exports(uuid, integer, integer, integer) to epithre_purge;
