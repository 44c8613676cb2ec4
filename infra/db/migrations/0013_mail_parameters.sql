-- policy: keep.account (what a mail is about: ids of the account's own records), keep.key (scope billing)
--
-- A mail's parameter: the record, month or model that it is about, of which its template takes at most one. The words
-- are made when it is sent, so nothing here names a person.

alter table api_keys drop constraint api_keys_scopes_known;
alter table api_keys add constraint api_keys_scopes_known
  check (cardinality(scopes) > 0 and scopes <@ array['chat', 'embeddings', 'images', 'models', 'usage', 'billing']);

alter table outbox
  add column object_id uuid,
  -- The first day of the month.
  add column month date constraint outbox_month_begins check (extract(day from month) = 1),
  add column model_id smallint references models (id),
  add constraint outbox_one_parameter check (num_nonnulls(object_id, month, model_id) <= 1);

drop function queue_mail(uuid, mail_template);

-- For functions of the owner only, inside the transaction that gives the reason to write: no mail without it, and none
-- of it without mail.
create function queue_mail(
  p_account uuid, p_template mail_template, p_object uuid default null, p_month date default null,
  p_model smallint default null
) returns void
language sql set search_path = public, pg_temp as $$
  insert into outbox (account_id, template, object_id, month, model_id)
  values (p_account, p_template, p_object, p_month, p_model)
$$;

drop function take_mail();

-- The mail that is due longest, or no row. Taking it puts its next attempt off, each time for twice as long (1 minute
-- up to 6 hours): a sender that dies, or fails, needs to say nothing for the mail to be tried again.
create function take_mail(
  out id uuid, out account_id uuid, out template mail_template, out object_id uuid, out month date, out model text,
  out attempts integer, out email text
)
returns setof record
language sql security definer set search_path = public, pg_temp as $$
  with due as (
    select o.id from outbox o
    join persons p on p.account_id = o.account_id
    where o.next_attempt_at <= now()
    order by o.next_attempt_at
    limit 1
    for update of o skip locked
  )
  update outbox o set
    attempts = o.attempts + 1,
    next_attempt_at = now() + least(interval '1 minute' * (2 ^ least(o.attempts, 20)), interval '6 hours')
  from due, persons p
  where o.id = due.id and p.account_id = o.account_id
  returning
    o.id, o.account_id, o.template, o.object_id, o.month, (select m.name from models m where m.id = o.model_id),
    o.attempts, p.email
$$;

grant execute on function take_mail() to epithre_notify;
