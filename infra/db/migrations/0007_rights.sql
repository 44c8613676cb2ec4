-- policy: none; what each function's role may do, and nothing else (proxy has no role)

grant select (id, status, changed_xid) on accounts to epithre_key_auth;
grant select on api_keys to epithre_key_auth;

grant execute on function settle(settlement[]) to epithre_usage_record;

grant select on models, prices, balances, leases to epithre_billing;
grant execute on function lease_grant(uuid, interval, jsonb) to epithre_billing;
grant execute on function lease_sync(uuid, interval, lease_report[]) to epithre_billing;
grant execute on function close_expired_leases(integer) to epithre_billing;

grant select on usage_events, models to epithre_export;
