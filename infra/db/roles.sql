-- Runs before the migrations, as superuser, each time: one owner of everything, one login for each function with
-- a database secret, and one for the scan for planted words (canary), which is no function. proxy and dashboard have
-- none. Passwords are set by whoever deploys (setRolePasswords).
-- One transaction, one at a time.
select pg_advisory_xact_lock(hashtext('roles.sql'));

do $$
declare
  v_role text;
begin
  if not exists (select from pg_roles where rolname = 'epithre_owner') then
    create role epithre_owner nologin;
  end if;
  foreach v_role in array array['key_auth', 'usage_record', 'billing', 'export', 'purge', 'admin', 'notify', 'reconcile',
    'audit_seal', 'accounts', 'policy', 'canary'] loop
    if not exists (select from pg_roles where rolname = 'epithre_' || v_role) then
      execute format('create role %I login noinherit connection limit 64', 'epithre_' || v_role);
    end if;
    execute format('grant connect on database %I to %I', current_database(), 'epithre_' || v_role);
  end loop;
  -- No function creates anything: not even a temporary table, whose rows would reach the disk.
  execute format('revoke all on database %I from public', current_database());
  execute format('alter database %I owner to epithre_owner', current_database());
end
$$;

revoke all on schema public from public;
alter schema public owner to epithre_owner;
grant usage on schema public to epithre_key_auth, epithre_usage_record, epithre_billing, epithre_export,
  epithre_purge, epithre_admin, epithre_notify, epithre_reconcile, epithre_audit_seal, epithre_accounts,
  epithre_policy, epithre_canary;

-- Purge ends the segment of the write-ahead log that still holds what it deleted.
grant execute on function pg_switch_wal() to epithre_purge;

-- What a migration creates is nobody's until a grant says otherwise.
alter default privileges for role epithre_owner revoke execute on functions from public;
