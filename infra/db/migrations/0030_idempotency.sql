-- policy: keep.usage (ids and the time of a call, with a keyed digest that names it: 24 hours)
--
-- A claim is one caller's word that requests with the same Idempotency-Key are one. The digest is made by the proxy,
-- under a key of the day that is held outside the database. How a claimed request ended is not stored here: its usage
-- event says so. Until then the claim keeps what a void settlement of its request would have to name.
create table idempotency_claims (
  account_id uuid not null references accounts (id) on delete cascade,
  digest bytea not null constraint idempotency_claims_digest_is_sha256 check (octet_length(digest) = 32),
  request_id uuid not null,
  key_id uuid not null,
  lease_id uuid not null,
  model_id smallint not null,
  endpoint usage_endpoint not null,
  price_version integer not null,
  claimed_at timestamptz not null,
  -- The longest that the call and its settlement can take.
  runs_until timestamptz not null,
  primary key (account_id, digest)
);

create index idempotency_claims_claimed on idempotency_claims (claimed_at);
create index idempotency_claims_account on idempotency_claims (account_id, claimed_at);

-- Samples in pg_statistic would outlive the rows.
alter table idempotency_claims alter column digest set statistics 0;

-- claimed: the request may run, and its retries will find it. free: it might (asked without a lease, nothing is
-- claimed). completed: another request of this digest ended with effect: status 200, or a charge. in_progress: another
-- one runs. too_many: the account made p_hourly_max claims within an hour.
create type claim_outcome as enum ('claimed', 'free', 'completed', 'in_progress', 'too_many');

-- Claims p_digests for a request, under the first of them; the others are what the same header is called on the days
-- beside. Calling again for the same request answers the same.
--
-- A claim whose request has no usage event runs as long as its lease lives: its proxy renews it. After that it is
-- settled as void, under its own id like any settlement: either its real one has committed first, and stands, or never
-- will. So nothing here has to be known to settle(), and a proxy that wakes up late charges nothing twice.
create function claim_request(
  p_account uuid, p_digests bytea[], p_request uuid, p_key uuid, p_lease uuid, p_model text, p_endpoint usage_endpoint,
  p_price_version integer, p_runs interval, p_counts interval, p_hourly_max integer,
  out outcome claim_outcome, out request_id uuid, out charged_micro bigint, out status integer
)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_claim idempotency_claims;
  v_runs boolean;
begin
  -- One at a time for an account: its claims are few, and midnight, take-overs and counts need no further thought.
  perform pg_advisory_xact_lock(hashtext('idempotency_claims'), hashtext(p_account::text));
  select c.* into v_claim from idempotency_claims c
  where c.account_id = p_account and c.digest = any (p_digests) and c.claimed_at > now() - p_counts;

  if v_claim.request_id = p_request then
    outcome := 'claimed';
    return;
  end if;
  if v_claim.request_id is not null then
    request_id := v_claim.request_id;
    v_runs := v_claim.runs_until > now()
      and exists (select from leases l where l.id = v_claim.lease_id and l.expires_at > now());
    select u.cost_micro, u.status into charged_micro, status from usage_events u where u.id = v_claim.request_id;
    if status is null and v_runs then
      outcome := 'in_progress';
      return;
    end if;
    if status is null then
      perform void_claimed(v_claim);
      select u.cost_micro, u.status into charged_micro, status from usage_events u where u.id = v_claim.request_id;
    end if;
    if charged_micro > 0 or status = 200 then
      outcome := 'completed';
      return;
    end if;
    -- It failed without a charge: what comes now is a new request.
  end if;

  request_id := null;
  charged_micro := null;
  status := null;
  if p_lease is null then
    outcome := 'free';
    return;
  end if;
  delete from idempotency_claims c where c.account_id = p_account and c.digest = any (p_digests);
  if (
    select count(*) from (
      select from idempotency_claims c
      where c.account_id = p_account and c.claimed_at > now() - interval '1 hour' limit p_hourly_max
    ) as recent
  ) >= p_hourly_max then
    outcome := 'too_many';
    return;
  end if;
  insert into idempotency_claims (
    account_id, digest, request_id, key_id, lease_id, model_id, endpoint, price_version, claimed_at, runs_until
  )
  select p_account, p_digests[1], p_request, p_key, p_lease, m.id, p_endpoint, p_price_version, now(), now() + p_runs
  from models m where m.name = p_model;
  if not found then
    raise exception 'Cannot claim: no such model' using errcode = 'EP404';
  end if;
  outcome := 'claimed';
end
$$;

-- Settles the request of a claim as void (503, no tokens, no cost), unless it is settled already.
create function void_claimed(p_claim idempotency_claims) returns void
language plpgsql set search_path = public, pg_temp as $$
begin
  perform settle(array[jsonb_populate_record(null::settlement, jsonb_build_object(
    'request_id', p_claim.request_id, 'account_id', p_claim.account_id, 'key_id', p_claim.key_id,
    'lease_id', p_claim.lease_id, 'model', (select name from models where id = p_claim.model_id),
    'endpoint', p_claim.endpoint, 'price_version', p_claim.price_version,
    'prompt_tokens', 0, 'cached_tokens', 0, 'completion_tokens', 0, 'reasoning_tokens', 0, 'images', 0,
    'cost_micro', 0, 'latency_ms', 0, 'status', 503
  ))]);
end
$$;

-- Gives a claim back whose request had no effect and leaves no usage event; where there is one, it decides.
create function release_claim(p_account uuid, p_digests bytea[], p_request uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
  delete from idempotency_claims
  where account_id = p_account and digest = any (p_digests) and request_id = p_request
    and not exists (select from usage_events where id = p_request)
$$;

grant execute on function claim_request(
  uuid, bytea[], uuid, uuid, uuid, text, usage_endpoint, integer, interval, interval, integer
) to epithre_usage_record;
grant execute on function release_claim(uuid, bytea[], uuid) to epithre_usage_record;
