-- policy: none; the operator's books name models and days, no account (keep.usage: what they are made of goes after 90 days)

-- What all accounts used of a model on a day (UTC, by the time of the request) and what they were charged. The price of
-- it all is cost + loss: what was charged below the price is in operator_losses, on the day of its settlement.
create table daily_books (
  day date not null,
  model_id smallint not null references models (id),
  requests bigint not null check (requests >= 0),
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  cached_tokens bigint not null check (cached_tokens >= 0),
  completion_tokens bigint not null check (completion_tokens >= 0),
  reasoning_tokens bigint not null check (reasoning_tokens >= 0),
  images bigint not null check (images >= 0),
  cost_micro bigint not null check (cost_micro >= 0),
  primary key (day, model_id)
);

-- A usage event in a slice that is booked already: a settlement that came late is added by itself. settle_short() lowers
-- a cost after the insert; erasure, which deletes, takes nothing out of the books.
create function book_late_event() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if tg_op = 'UPDATE' then
    update daily_books set cost_micro = cost_micro + new.cost_micro - old.cost_micro
    where day = (uuid_extract_timestamp(new.id) at time zone 'UTC')::date and model_id = new.model_id;
    return null;
  end if;
  insert into daily_books as b (
    day, model_id, requests, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, images, cost_micro
  ) values (
    (uuid_extract_timestamp(new.id) at time zone 'UTC')::date, new.model_id, 1, new.prompt_tokens, new.cached_tokens,
    new.completion_tokens, new.reasoning_tokens, new.images, new.cost_micro
  )
  on conflict (day, model_id) do update set
    requests = b.requests + 1,
    prompt_tokens = b.prompt_tokens + excluded.prompt_tokens,
    cached_tokens = b.cached_tokens + excluded.cached_tokens,
    completion_tokens = b.completion_tokens + excluded.completion_tokens,
    reasoning_tokens = b.reasoning_tokens + excluded.reasoning_tokens,
    images = b.images + excluded.images,
    cost_micro = b.cost_micro + excluded.cost_micro;
  return null;
end
$$;

-- The slices that are not in the books yet, with the time that each begins. A slice is booked when it has the trigger:
-- both come in one transaction.
create function unbooked_slices() returns table (slice regclass, starts_at timestamptz)
language sql stable set search_path = public, pg_temp as $$
  select c.oid::regclass, case
    when c.relname ~ '^usage_events_[0-9]{10}$' then to_timestamp(right(c.relname, 10) || '+00', 'YYYYMMDDHH24TZH')
  end
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'usage_events'::regclass
    and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'book_late_event')
$$;

alter type purge_step add value 'daily_books';

-- Adds the oldest slice that has ended an hour ago to the books, and answers how many: 1 or 0. The lock that the
-- trigger needs keeps settlements out of this one old slice while it is summed, so each event is counted once: by the
-- sum, or by the trigger. It waits 50 ms for it, then fails (55P03) and is called again.
create function book_usage_slice(p_run uuid) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '50ms' as $$
declare
  v_slice regclass;
begin
  select slice into v_slice from unbooked_slices()
  where starts_at <= now() - interval '4 hours' - interval '1 hour'
  order by starts_at limit 1;
  if v_slice is not null then
    execute format(
      'create trigger book_late_event after insert or update of cost_micro on %s
       for each row execute function book_late_event()', v_slice
    );
    execute format($sum$
      insert into daily_books as b
      select
        (uuid_extract_timestamp(id) at time zone 'UTC')::date, model_id, count(*), sum(prompt_tokens), sum(cached_tokens),
        sum(completion_tokens), sum(reasoning_tokens), sum(images), sum(cost_micro)
      from %s group by 1, 2
      on conflict (day, model_id) do update set
        requests = b.requests + excluded.requests,
        prompt_tokens = b.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = b.cached_tokens + excluded.cached_tokens,
        completion_tokens = b.completion_tokens + excluded.completion_tokens,
        reasoning_tokens = b.reasoning_tokens + excluded.reasoning_tokens,
        images = b.images + excluded.images,
        cost_micro = b.cost_micro + excluded.cost_micro
    $sum$, v_slice);
  end if;
  perform note_purge_step(p_run, 'daily_books', null, (v_slice is not null)::integer);
  return (v_slice is not null)::integer;
end
$$;

-- The books of a range of days with the losses of the same days, and until when they are whole: the start of the
-- oldest slice that is not booked.
create function admin_books(
  p_from date, p_to date,
  out day date, out model text, out requests bigint, out prompt_tokens bigint, out cached_tokens bigint,
  out completion_tokens bigint, out reasoning_tokens bigint, out images bigint, out cost_micro bigint,
  out loss_requests bigint, out loss_micro bigint
) returns setof record language sql stable security definer set search_path = public, pg_temp as $$
  select
    day, m.name, coalesce(b.requests, 0), coalesce(b.prompt_tokens, 0), coalesce(b.cached_tokens, 0),
    coalesce(b.completion_tokens, 0), coalesce(b.reasoning_tokens, 0), coalesce(b.images, 0), coalesce(b.cost_micro, 0),
    coalesce(l.requests, 0), coalesce(l.loss_micro, 0)
  from daily_books b
  full join operator_losses l using (day, model_id)
  join models m on m.id = model_id
  where day between p_from and p_to
  order by day, m.name
$$;

create function admin_booked_until() returns timestamptz
language sql stable security definer set search_path = public, pg_temp as $$
  select min(starts_at) from unbooked_slices()
$$;

grant execute on function book_usage_slice(uuid) to epithre_purge;
grant execute on function admin_books(date, date) to epithre_admin;
grant execute on function admin_booked_until() to epithre_admin;
