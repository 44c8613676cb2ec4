-- policy: keep.account (life of the account + at most 30 days), keep.key (life of the account; revoked 90 days)

create type account_status as enum ('active', 'suspended', 'closed');

-- Opened at the time of its id (UUIDv7). audit_alias is what audit rows name; erasure deletes it with this row.
create table accounts (
  id uuid primary key default uuidv7(),
  status account_status not null default 'active',
  closed_at timestamptz,
  audit_alias uuid not null default gen_random_uuid() unique,
  changed_xid xid8 not null,
  constraint accounts_closed_has_time check ((status = 'closed') = (closed_at is not null))
);

create index accounts_changed on accounts (changed_xid);

-- All that names a person. No hot path reads it; in 8 parts, so that erasure can rewrite one in less than 100 ms
-- (DELETE leaves the bytes in the file); without statistics, which would keep copies of values.
create table persons (
  account_id uuid primary key references accounts (id),
  email text not null constraint persons_email_length check (length(email) between 3 and 254),
  name text constraint persons_name_length check (length(name) <= 128),
  password_hash text constraint persons_password_hash_length check (length(password_hash) <= 256)
) partition by hash (account_id);

do $$
begin
  for v_part in 0..7 loop
    execute format('create table persons_%s partition of persons for values with (modulus 8, remainder %1$s)', v_part);
  end loop;
end
$$;

alter table persons
  alter column email set statistics 0,
  alter column name set statistics 0,
  alter column password_hash set statistics 0;

-- The key itself is nowhere: its SHA-256 and the first 12 of its 49 characters are (sec.key).
create table api_keys (
  id uuid primary key default uuidv7(),
  account_id uuid not null references accounts (id),
  hash bytea not null unique constraint api_keys_hash_length check (octet_length(hash) = 32),
  prefix text not null constraint api_keys_prefix_form check (prefix ~ '^ep_[0-9A-Za-z]{9}$'),
  name text not null constraint api_keys_name_length check (length(name) <= 64),
  scopes text[] not null constraint api_keys_scopes_known
    check (cardinality(scopes) > 0 and scopes <@ array['chat', 'embeddings', 'images', 'models', 'usage']),
  -- null: every model. A trigger of the price book refuses names that no model has.
  models text[],
  expires_at timestamptz,
  requests_per_minute integer check (requests_per_minute > 0),
  tokens_per_minute integer check (tokens_per_minute > 0),
  revoked_at timestamptz,
  changed_xid xid8 not null
);

create index api_keys_account on api_keys (account_id);
create index api_keys_changed on api_keys (changed_xid);

-- The change feed of key-auth is ordered by commit: see functions/key-auth/queries.ts. A row is deleted only after
-- the feed has told its end (a key revoked, an account closed), because a deletion leaves nothing to tell.
create function note_change() returns trigger language plpgsql as $$
begin
  new.changed_xid := pg_current_xact_id();
  return new;
end
$$;

create trigger accounts_note_change before insert or update on accounts
  for each row execute function note_change();
create trigger api_keys_note_change before insert or update on api_keys
  for each row execute function note_change();

create function refuse_untold_key_deletion() returns trigger language plpgsql as $$
begin
  if old.revoked_at is null and exists (select from accounts where id = old.account_id and status <> 'closed') then
    raise exception 'Cannot delete key: it is in force; revoke it first' using errcode = 'EP409';
  end if;
  return old;
end
$$;

create trigger api_keys_refuse_untold_deletion before delete on api_keys
  for each row execute function refuse_untold_key_deletion();

create function refuse_untold_account_deletion() returns trigger language plpgsql as $$
begin
  if old.status <> 'closed' then
    raise exception 'Cannot delete account: it is open; close it first' using errcode = 'EP409';
  end if;
  return old;
end
$$;

create trigger accounts_refuse_untold_deletion before delete on accounts
  for each row execute function refuse_untold_account_deletion();
