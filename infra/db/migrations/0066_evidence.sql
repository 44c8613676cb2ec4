-- policy: keep.* (what there is, counted by somebody else than purge), place.jakarta, pay.alpha, right.* (attested)
--
-- Evidence for the public: times and counts, never whose. The function policy reads what is called evidence_ and may do nothing else;
-- purge's role can neither read nor write nor replace them, so what is published does not rest on what purge says of itself.

-- The oldest row of each kind that shared/stored-data.ts gives an end to, by the time that its limit counts from.
create view evidence_oldest (store, oldest_at) as
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
  union all select 'accounts', (select min(closed_at) from accounts where status = 'closed');

-- Closed accounts that are still here after so many days, and when the first of them was closed.
create function evidence_due_erasures(p_days integer, out accounts bigint, out oldest_at timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
  select count(*), min(closed_at) from accounts where status = 'closed' and closed_at <= now() - make_interval(days => p_days)
$$;

-- The last run of purge that came to its end, and whether a later one waits for an operator.
create view evidence_purge (run_id, finished_at, early_days, steps_left, refused_since) as
  select r.id, r.finished_at, r.early_days, r.steps_left, (
    select min(f.started_at) from purge_runs f where f.state = 'refused' and f.confirmed_at is null
  )
  from (select) as always
  left join lateral (
    select id, finished_at, early_days, steps_left from purge_runs where state = 'finished' order by started_at desc limit 1
  ) as r on true;

-- The limit that each step of that run applied.
create view evidence_purge_limits (step, live_days) as
  select s.step, s.live_days from purge_steps s join evidence_purge e on e.run_id = s.run_id;

create view evidence_audit_head (day, rows, head, sealed_until, statement) as
  select day, rows, head, sealed_until, statement from audit_days order by day desc limit 1;

create view evidence_migration (name, applied_at) as
  select name, applied_at from migrations order by name desc limit 1;

-- What scans for planted words found, in counts: a separate job does them. Each store that was searched must give back the
-- control that was planted in it, or the search proves nothing.
create table canary_scans (
  id uuid primary key default uuidv7(),
  scanned_at timestamptz not null default now(),
  bytes_searched bigint not null constraint canary_scans_bytes_counted check (bytes_searched >= 0),
  stores_searched integer not null constraint canary_scans_searched_counted check (stores_searched >= 0),
  stores_not_searched integer not null constraint canary_scans_not_searched_counted check (stores_not_searched >= 0),
  hits integer not null constraint canary_scans_hits_counted check (hits >= 0),
  controls_found integer not null constraint canary_scans_controls_counted check (controls_found between 0 and stores_searched)
);

create index canary_scans_scanned on canary_scans (scanned_at);

-- Scans of the last year are kept.
create function record_canary_scan(
  p_bytes_searched bigint, p_stores_searched integer, p_stores_not_searched integer, p_hits integer, p_controls_found integer
) returns void language sql security definer set search_path = public, pg_temp as $$
  insert into canary_scans (bytes_searched, stores_searched, stores_not_searched, hits, controls_found)
  values (p_bytes_searched, p_stores_searched, p_stores_not_searched, p_hits, p_controls_found);
  delete from canary_scans where scanned_at < now() - interval '365 days'
$$;

create view evidence_canary (scanned_at, bytes_searched, stores_searched, stores_not_searched, hits, controls_found) as
  select scanned_at, bytes_searched, stores_searched, stores_not_searched, hits, controls_found
  from canary_scans order by scanned_at desc limit 1;

-- Promises that software cannot measure.
create type attested_promise as enum ('place.jakarta', 'pay.alpha', 'right.*');

-- What operators state, each for a time. Who it was stands in the audit log; the public reads in which role. The digest is
-- the SHA-256 of the promise's sentence: a statement says nothing about a sentence that was written later.
create table attestations (
  id uuid primary key default uuidv7(),
  promise attested_promise not null,
  sentence_digest bytea not null constraint attestations_digest_length check (octet_length(sentence_digest) = 32),
  stated_at timestamptz not null default now(),
  expires_at timestamptz not null constraint attestations_expire check (expires_at >= stated_at)
);

create index attestations_promise on attestations (promise, stated_at);

create view evidence_attestations (promise, sentence_digest, stated_at, expires_at) as
  select distinct on (promise) promise, sentence_digest, stated_at, expires_at
  from attestations order by promise, stated_at desc, id desc;

-- EP409: for longer than any promise is attested, or for no time.
create function admin_attest(p_promise attested_promise, p_sentence_digest bytea, p_valid_days integer) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_id uuid;
begin
  if p_valid_days is null or p_valid_days not between 1 and 366 then
    raise exception 'Cannot attest: no statement holds for this long' using errcode = 'EP409';
  end if;
  insert into attestations (promise, sentence_digest, expires_at)
  values (p_promise, p_sentence_digest, now() + make_interval(days => p_valid_days))
  returning id into v_id;
  perform append_audit('promise_attested', null, v_id);
  return v_id;
end
$$;

-- Ends the statement that counts: it is no longer so. EP404: none does.
create function admin_withdraw_attestation(p_promise attested_promise) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_id uuid;
begin
  select id into v_id from attestations where promise = p_promise order by stated_at desc, id desc limit 1 for update;
  update attestations set expires_at = greatest(now(), stated_at) where id = v_id and expires_at > now();
  if not found then
    raise exception 'Cannot withdraw attestation: none counts' using errcode = 'EP404';
  end if;
  perform append_audit('attestation_withdrawn', null, v_id);
end
$$;

create function admin_list_attestations(
  out promise attested_promise, out sentence_digest bytea, out stated_at timestamptz, out expires_at timestamptz
) returns setof record language sql stable security definer set search_path = public, pg_temp as $$
  select promise, sentence_digest, stated_at, expires_at from evidence_attestations
$$;

grant select on
  evidence_oldest, evidence_purge, evidence_purge_limits, evidence_audit_head, evidence_migration,
  evidence_canary, evidence_attestations
to epithre_policy;
grant execute on function evidence_due_erasures(integer) to epithre_policy;
grant execute on function record_canary_scan(bigint, integer, integer, integer, integer) to epithre_canary;
grant execute on function admin_attest(attested_promise, bytea, integer) to epithre_admin;
grant execute on function admin_withdraw_attestation(attested_promise) to epithre_admin;
grant execute on function admin_list_attestations() to epithre_admin;
