-- Runs in the databases of the billing benchmark only: plain tables for raw inserts, and stored rows by the million.

-- Equal tables that no function of ours knows: the same columns, checks, indexes and slices.
create table raw_events (like usage_events including all) partition by range (id);

do $$
declare
  v_slice record;
begin
  for v_slice in
    select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'usage_events'::regclass
  loop
    execute format('create table %I partition of raw_events %s', 'raw_' || v_slice.name, v_slice.bound);
  end loop;
end
$$;

create table raw_leases (like leases including all) with (fillfactor = 50);

-- UUIDv7s that are counted up, so that an event can name an account by its number.
create function bench_account(p_number integer) returns uuid language sql immutable parallel safe as $$
  select ('019a0000-0000-7000-8000-' || lpad(to_hex(p_number), 12, '0'))::uuid
$$;

-- What grants and settlements read of an account, and nothing else. No run spends the credit.
create function bench_add_accounts(p_accounts integer) returns void language sql as $$
  insert into accounts (id) select bench_account(n) from generate_series(0, p_accounts - 1) as n;
  insert into balances (account_id, credited_micro) select id, 100000000000000000 from accounts;
$$;

-- Usage events of the slice that lies so many slices back, evenly over its 4 hours, of accounts in no order.
create function bench_fill_slice(p_back integer, p_events integer, p_accounts integer) returns void
language plpgsql as $$
declare
  v_start timestamptz := usage_slice_start(now() - interval '4 hours' * p_back);
  v_name text := usage_slice_name(v_start);
  v_new boolean := to_regclass(v_name) is null;
begin
  if v_new then
    execute format('create table %I (like usage_events including constraints)', v_name);
  end if;
  execute format($query$
    insert into %I
    select
      uuidv7($1 + interval '4 hours' * ((n + 0.5) / $2) - clock_timestamp()),
      bench_account(floor(random() * $3)::integer),
      gen_random_uuid(), 1000, 1, 12, 0, 34, 0, 0, 56, 'chat.completions', 1, 200
    from generate_series(0, $2 - 1) as n
  $query$, v_name) using v_start, p_events, p_accounts;
  if v_new then
    -- Makes the indexes, once and sorted.
    execute format(
      'alter table usage_events attach partition %I for values from (%L) to (%L)',
      v_name, uuidv7_floor(v_start), uuidv7_floor(v_start + interval '4 hours')
    );
  end if;
end
$$;
