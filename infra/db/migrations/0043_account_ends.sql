-- policy: right.delete (closed at once, erased after a grace), right.access (a copy of all that is kept), keep.account

-- The event by which a closing forfeits what the account has available: the one that its owner gets back.
create function forfeit_key(p_account uuid, p_closed_at timestamptz) returns uuid
language sql immutable set search_path = public, pg_temp as $$
  select md5(p_account::text || extract(epoch from p_closed_at))::uuid
$$;

-- Closes the account for its owner: keys and sessions end at once, erasure begins to count. EP404: there is no open
-- account. EP402: it has credit left, and its owner does not forfeit it.
--
-- Leases end with it, so that what they have not consumed is forfeited too: a call that still runs on one finds nothing
-- to be paid from (an operator's loss, and never more than the lease that its owner gave up).
create function account_close(p_account uuid, p_forfeit boolean) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_now timestamptz := now();
  v_status account_status;
  v_key uuid;
  v_balance_micro bigint;
  v_available_micro bigint;
begin
  select status into v_status from accounts where id = p_account and status <> 'closed' for no key update;
  if not found then
    raise exception 'Cannot close account: no such account, or it is closed' using errcode = 'EP404';
  end if;
  perform from balances where account_id = p_account for no key update;
  perform from leases where account_id = p_account order by id for update;
  select
    credited_micro - consumed_micro - coalesce((select sum(l.consumed_micro) from leases l where l.account_id = p_account), 0),
    credited_micro - consumed_micro - leased_micro
  into v_balance_micro, v_available_micro
  from balances where account_id = p_account;
  if v_balance_micro > 0 and not p_forfeit then
    raise exception 'Cannot close account: it has credit left' using errcode = 'EP402';
  end if;
  if v_available_micro > 0 then
    perform post_billing_event(
      p_account, 'adjustment', -v_available_micro, 'account_closing', forfeit_key(p_account, v_now)
    );
  end if;
  update leases set expires_at = v_now - interval '1 millisecond' where account_id = p_account;
  perform close_expired_leases_of(p_account);
  if v_balance_micro > v_available_micro then
    perform post_billing_event(
      p_account, 'adjustment', v_available_micro - v_balance_micro, 'account_closing', gen_random_uuid()
    );
  end if;
  for v_key in select id from api_keys where account_id = p_account and revoked_at is null order by id loop
    perform account_revoke_key(p_account, v_key);
  end loop;
  update accounts set
    status = 'closed', closed_at = v_now, reopens_as = v_status, sessions_from = end_of_sessions()
  where id = p_account;
  update persons set new_email = null, new_email_at = null where account_id = p_account and new_email is not null;
  delete from account_tokens where account_id = p_account;
  delete from outbox where account_id = p_account and template in ('verify_email', 'reset_password', 'change_email');
  perform queue_mail(p_account, 'account_deleted');
end
$$;

-- Takes a deletion back: the account is what it was, and has the credit again that it had available; keys stay revoked.
-- EP404: no such token.
create function account_reopen(p_token bytea) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_account uuid := use_account_token(p_token, 'cancel_deletion');
  v_closed_at timestamptz;
  v_forfeited_micro bigint;
begin
  select closed_at into v_closed_at from accounts where id = v_account and reopens_as is not null;
  if not found then
    raise exception 'Cannot reopen account: its owner did not close it' using errcode = 'EP404';
  end if;
  update accounts set status = reopens_as, reopens_as = null, closed_at = null, sessions_from = end_of_sessions()
  where id = v_account;
  select -amount_micro into v_forfeited_micro from billing_events
  where idempotency_key = forfeit_key(v_account, v_closed_at);
  if found then
    perform post_billing_event(v_account, 'adjustment', v_forfeited_micro, 'correction', gen_random_uuid());
  end if;
  delete from outbox where account_id = v_account and template = 'account_deleted';
end
$$;

-- Up to p_rows of a table that are about the account, each as the text of a JSON object, in the order of the primary
-- key, after the row p_after. Any table with account_id, key_id or subject_alias is known by that: a new one needs no
-- word here. Of a password only how it was hashed is shown: with the rest, whoever finds the copy could guess it.
-- EP404: the table has nothing about accounts.
create function account_copy_page(p_account uuid, p_table text, p_after text, p_rows integer) returns setof text
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
  v_table oid := (
    select oid from pg_class
    where relnamespace = 'public'::regnamespace and relname = p_table and relkind in ('r', 'p') and not relispartition
  );
  v_columns text[] := array(select attname from pg_attribute where attrelid = v_table and attnum > 0 and not attisdropped);
  v_owned text := case
    when p_table = 'accounts' then 'id = $1'
    when 'account_id' = any (v_columns) then 'account_id = $1'
    when 'key_id' = any (v_columns) then 'key_id in (select k.id from api_keys k where k.account_id = $1)'
    when 'subject_alias' = any (v_columns) then 'subject_alias = (select a.audit_alias from accounts a where a.id = $1)'
  end;
  v_order text := (
    select string_agg(quote_ident(a.attname), ', ' order by k.position)
    from pg_index i
    cross join unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = v_table and i.indisprimary
  );
begin
  if v_owned is null then
    raise exception 'Cannot copy: the table has nothing about accounts' using errcode = 'EP404';
  end if;
  return query execute format(
    $query$
      select (
        case when r ->> 'password_hash' is null then r
          else jsonb_set(r, '{password_hash}', to_jsonb(regexp_replace(r ->> 'password_hash', '\$[^$]+\$[^$]+$', '')))
        end
      )::text
      from (
        select to_jsonb(t) as r from %1$I t
        where %2$s and ($2 is null or (%3$s) > (select %3$s from jsonb_populate_record(null::%1$I, $2::jsonb)))
        order by %3$s
        limit $3
      ) as page
    $query$,
    p_table, v_owned, v_order
  ) using p_account, p_after, p_rows;
end
$$;

-- Deletes up to p_rows_max tokens that have expired, and answers how many. EP409: the run may not delete.
create function delete_expired_tokens(p_run uuid, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_deleted integer;
begin
  perform purge_cutoff(p_run, 'accounts', 1, 0);
  delete from account_tokens where hash in (
    select hash from account_tokens where expires_at <= now() order by expires_at limit p_rows_max
  );
  get diagnostics v_deleted = row_count;
  perform note_purge_step(p_run, 'account_tokens', null, v_deleted);
  return v_deleted;
end
$$;

-- Forgets up to p_rows_max addresses that nobody confirmed within p_hours. EP409: the run may not delete, or they still
-- can be confirmed.
create function forget_unconfirmed_emails(p_run uuid, p_hours integer, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_forgotten integer;
begin
  perform purge_cutoff(p_run, 'accounts', 1, 0);
  if p_hours is null or p_hours < 24 then
    raise exception 'Cannot purge: the limit is shorter than any policy has' using errcode = 'EP409';
  end if;
  update persons set new_email = null, new_email_at = null where account_id in (
    select account_id from persons
    where new_email is not null and new_email_at <= now() - make_interval(hours => p_hours) limit p_rows_max
  );
  get diagnostics v_forgotten = row_count;
  perform note_purge_step(p_run, 'persons', null, v_forgotten);
  return v_forgotten;
end
$$;

-- Closes up to p_rows_max accounts whose address nobody has verified p_days after the signup: it may be somebody else's.
-- They have no key and no credit; erasure follows as with any other. EP409: the run may not delete, or it is too soon.
create function close_unverified_accounts(p_run uuid, p_days integer, p_rows_max integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_closed integer;
begin
  perform purge_cutoff(p_run, 'accounts', p_days, 0);
  update accounts set status = 'closed', closed_at = now() where status <> 'closed' and id in (
    select p.account_id from persons p
    join accounts a on a.id = p.account_id
    where p.email_verified_at is null and p.password_hash is not null and a.status <> 'closed'
      and p.account_id < uuidv7_floor(now() - make_interval(days => p_days))
      and not exists (select from api_keys k where k.account_id = a.id)
      and not exists (select from billing_events b where b.account_id = a.id)
    limit p_rows_max
  );
  get diagnostics v_closed = row_count;
  perform note_purge_step(p_run, 'unverified_accounts', p_days, v_closed);
  return v_closed;
end
$$;

grant execute on function account_close(uuid, boolean) to epithre_accounts;
grant execute on function account_reopen(bytea) to epithre_accounts;
grant execute on function account_copy_page(uuid, text, text, integer) to epithre_accounts;
grant execute on function delete_expired_tokens(uuid, integer) to epithre_purge;
grant execute on function forget_unconfirmed_emails(uuid, integer, integer) to epithre_purge;
grant execute on function close_unverified_accounts(uuid, integer, integer) to epithre_purge;
