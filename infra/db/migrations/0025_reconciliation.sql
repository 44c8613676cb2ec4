-- policy: none; engines and models are the operator's, and name no person
--
-- What the engines say that they did, beside what was settled. Engines count tokens; readings of their counters, minutes
-- apart, say how many each model took and made meanwhile. The same time in the ledger is summed once every call of it
-- has long been settled.

-- The last reading of each engine (named by a digest of its address) and model: the next one is a difference to it.
create table engine_counters (
  backend uuid not null,
  model_id smallint not null references models (id),
  read_at timestamptz not null,
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  completion_tokens bigint not null check (completion_tokens >= 0),
  primary key (backend, model_id)
);

-- The time from one reading to the next. engines_missing did not answer; what they counted comes with a later reading.
create table reconciliations (
  read_at timestamptz not null,
  model_id smallint not null references models (id),
  since timestamptz not null,
  engines_missing smallint not null,
  engine_prompt_tokens bigint not null check (engine_prompt_tokens >= 0),
  engine_completion_tokens bigint not null check (engine_completion_tokens >= 0),
  ledger_prompt_tokens bigint check (ledger_prompt_tokens >= 0),
  ledger_completion_tokens bigint check (ledger_completion_tokens >= 0),
  primary key (read_at, model_id),
  check (since < read_at),
  check ((ledger_prompt_tokens is null) = (ledger_completion_tokens is null))
);

-- Takes one reading, a JSON array of {backend, model, prompt_tokens, completion_tokens}. A counter that is below its
-- last reading began again with its engine. The first reading of a counter, and one after more than an hour, is only
-- where the next difference begins: what came before cannot be laid beside the ledger.
create function record_engine_counters(p_read_at timestamptz, p_counters jsonb, p_engines_missing integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  with reading as (
    select c.backend, m.id as model_id, c.prompt_tokens, c.completion_tokens
    from jsonb_to_recordset(p_counters) as c (backend uuid, model text, prompt_tokens bigint, completion_tokens bigint)
    join models m on m.name = c.model
  ), counted as (
    select
      r.model_id,
      r.prompt_tokens - case when restarted then 0 else l.prompt_tokens end as prompt_tokens,
      r.completion_tokens - case when restarted then 0 else l.completion_tokens end as completion_tokens,
      l.read_at
    from reading r
    join engine_counters l using (backend, model_id)
    cross join lateral (
      select r.prompt_tokens < l.prompt_tokens or r.completion_tokens < l.completion_tokens as restarted
    ) as engine
    where l.read_at >= p_read_at - interval '1 hour'
  )
  insert into reconciliations (
    read_at, model_id, since, engines_missing, engine_prompt_tokens, engine_completion_tokens
  )
  select p_read_at, model_id, max(read_at), p_engines_missing, sum(prompt_tokens), sum(completion_tokens)
  from counted group by model_id having max(read_at) < p_read_at;

  insert into engine_counters (backend, model_id, read_at, prompt_tokens, completion_tokens)
  select c.backend, m.id, p_read_at, c.prompt_tokens, c.completion_tokens
  from jsonb_to_recordset(p_counters) as c (backend uuid, model text, prompt_tokens bigint, completion_tokens bigint)
  join models m on m.name = c.model
  on conflict (backend, model_id) do update set
    read_at = excluded.read_at, prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens;

  delete from reconciliations where read_at < p_read_at - interval '30 days';
  delete from engine_counters where read_at < p_read_at - interval '30 days';
end
$$;

-- Sums the ledger for readings that are old enough for each of their calls to be settled: p_settled_after is the longest
-- that a call and its settlement take. An engine counts a prompt when it begins and output as it comes: so of a call
-- that was under way at a reading, the prompt belongs to the time of its beginning, and of the output the share that
-- its duration has in each time.
create function settle_reconciliations(p_settled_after interval) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_time record;
  v_settled integer := 0;
begin
  for v_time in
    select distinct since, read_at from reconciliations
    where ledger_prompt_tokens is null and read_at <= now() - p_settled_after
    order by read_at limit 60
  loop
    with calls as (
      select
        model_id, prompt_tokens, completion_tokens, began, began + latency_ms * interval '1 millisecond' as ended
      from usage_events
      cross join lateral (select uuid_extract_timestamp(id) as began) as call
      where id >= uuidv7_floor(v_time.since - p_settled_after) and id <= uuidv7_floor(v_time.read_at + interval '1 millisecond')
    ), ledger as (
      select
        model_id,
        coalesce(sum(prompt_tokens) filter (where began > v_time.since and began <= v_time.read_at), 0) as prompt_tokens,
        round(coalesce(sum(completion_tokens * case
          when began >= v_time.since and ended <= v_time.read_at then 1
          else extract(epoch from least(ended, v_time.read_at) - greatest(began, v_time.since))::double precision
            / extract(epoch from ended - began)::double precision
        end) filter (where ended > v_time.since and began <= v_time.read_at), 0)) as completion_tokens
      from calls group by model_id
    )
    update reconciliations r set
      ledger_prompt_tokens = coalesce((select prompt_tokens from ledger l where l.model_id = r.model_id), 0),
      ledger_completion_tokens = coalesce((select completion_tokens from ledger l where l.model_id = r.model_id), 0)
    where r.since = v_time.since and r.read_at = v_time.read_at;
    v_settled := v_settled + 1;
  end loop;
  return v_settled;
end
$$;

-- What the engines counted and what was settled, by model, over the last p_window that both are known of.
create function captured_tokens(
  p_window interval,
  out model text, out since timestamptz, out until timestamptz, out engines_missing smallint,
  out engine_prompt_tokens bigint, out engine_completion_tokens bigint,
  out ledger_prompt_tokens bigint, out ledger_completion_tokens bigint
) returns setof record language sql stable security definer set search_path = public, pg_temp as $$
  select
    m.name, min(r.since), max(r.read_at), max(r.engines_missing), sum(r.engine_prompt_tokens)::bigint,
    sum(r.engine_completion_tokens)::bigint, sum(r.ledger_prompt_tokens)::bigint, sum(r.ledger_completion_tokens)::bigint
  from reconciliations r
  join models m on m.id = r.model_id
  where r.ledger_prompt_tokens is not null
    and r.since >= (select max(read_at) from reconciliations where ledger_prompt_tokens is not null) - p_window
  group by m.name
  order by m.name
$$;

grant execute on function record_engine_counters(timestamptz, jsonb, integer) to epithre_reconcile;
grant execute on function settle_reconciliations(interval) to epithre_reconcile;
grant execute on function captured_tokens(interval) to epithre_reconcile, epithre_admin;
