-- policy: keep.account (who is told that a file is ready), right.export
--
-- Whoever asked for a file of the usage log is told by mail when it is ready, once: in the transaction that makes it so.

create or replace function finish_usage_export(p_id uuid, p_parts integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid;
begin
  update usage_exports set state = 'ready' where id = p_id and state = 'building' and cardinality(etags) = p_parts
  returning account_id into v_account;
  if v_account is null then
    return false;
  end if;
  perform queue_mail(v_account, 'export_ready', p_id);
  return true;
end
$$;

-- Whatever ends a file ends its mail: nobody is told of what is not there any more.
create function forget_export_mail() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from outbox where account_id = old.account_id and template = 'export_ready' and object_id = old.id;
  return null;
end
$$;

create trigger usage_exports_end_mail after delete on usage_exports
  for each row execute function forget_export_mail();
