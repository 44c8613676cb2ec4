-- policy: keep.usage. The evidence looks at throttles too.

create or replace view evidence_oldest (store, oldest_at) as
  select 'usage_events'::purge_step, (select uuid_extract_timestamp(id) from usage_events order by id limit 1)
  union all select 'api_keys', (select min(revoked_at) from api_keys where revoked_at is not null)
  union all select 'audit_log', (select min(at) from audit_log)
  union all select 'outbox', (select min(created_at) from outbox)
  union all select 'billing_events', (select min(created_at) from billing_events)
  -- A paid one goes with its billing event.
  union all select 'invoices', (select min(due_at) from invoices where state <> 'paid')
  union all select 'idempotency_claims', (select min(claimed_at) from idempotency_claims)
  union all select 'account_tokens', (select min(expires_at) from account_tokens)
  union all select 'persons', (select min(new_email_at) from persons where new_email is not null)
  union all select 'operators', (select min(disabled_at) from operators)
  union all select 'operator_sessions', (select min(expires_at) from operator_sessions)
  union all select 'operator_invites', (select min(expires_at) from operator_invites)
  union all select 'usage_exports', (select min(created_at) from usage_exports)
  union all select 'purge_runs', (select min(started_at) from purge_runs)
  union all select 'accounts', (select min(closed_at) from accounts where status = 'closed')
  union all select 'throttles', (select min(ends_at) from throttles);
