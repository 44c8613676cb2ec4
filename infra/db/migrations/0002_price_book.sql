-- policy: none; models and prices are the operator's, and name no person

create type model_kind as enum ('chat', 'embedding', 'image');

create table models (
  id smallint generated always as identity primary key,
  name text not null unique constraint models_name_form check (name ~ '^[0-9A-Za-z][0-9A-Za-z._:/-]{0,127}$'),
  kind model_kind not null,
  context_tokens integer not null check (context_tokens > 0),
  output_tokens_max integer not null check (output_tokens_max >= 0),
  -- Tokens that the chat template can add to a prompt beyond its bytes.
  template_tokens integer not null check (template_tokens >= 0),
  -- The most tokens that one image can become.
  image_tokens_max integer not null check (image_tokens_max >= 0),
  enabled boolean not null default true,
  created_at timestamptz not null default now()
);

-- Micro-rupiah for each token or image. A new price is a new version; none ever changes, so that a charge can be
-- computed again from its usage event.
create table prices (
  version integer generated always as identity primary key,
  model_id smallint not null references models (id),
  effective_at timestamptz not null,
  input_micro bigint not null check (input_micro >= 0),
  cached_input_micro bigint not null check (cached_input_micro >= 0),
  output_micro bigint not null check (output_micro >= 0),
  image_micro bigint not null check (image_micro >= 0)
);

create index prices_in_force on prices (model_id, effective_at desc, version desc);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'Cannot change %: its rows are immutable', tg_table_name using errcode = 'EP409';
end
$$;

create trigger prices_immutable before update or delete on prices
  for each row execute function refuse_change();
create trigger prices_no_truncate before truncate on prices
  for each statement execute function refuse_change();

create function create_model(
  p_name text, p_kind model_kind, p_context_tokens integer, p_output_tokens_max integer,
  p_template_tokens integer, p_image_tokens_max integer
) returns smallint language sql set search_path = public, pg_temp as $$
  insert into models (name, kind, context_tokens, output_tokens_max, template_tokens, image_tokens_max)
  values (p_name, p_kind, p_context_tokens, p_output_tokens_max, p_template_tokens, p_image_tokens_max)
  returning id
$$;

-- The version of the new price. EP404 where no model has the name.
create function create_price(
  p_model text, p_effective_at timestamptz, p_input_micro bigint, p_cached_input_micro bigint,
  p_output_micro bigint, p_image_micro bigint
) returns integer language plpgsql set search_path = public, pg_temp as $$
declare
  v_version integer;
begin
  insert into prices (model_id, effective_at, input_micro, cached_input_micro, output_micro, image_micro)
  select id, p_effective_at, p_input_micro, p_cached_input_micro, p_output_micro, p_image_micro
  from models where name = p_model
  returning version into v_version;
  if v_version is null then
    raise exception 'Cannot set price: no such model' using errcode = 'EP404';
  end if;
  return v_version;
end
$$;

-- A list of models on a key holds names of models and nothing else: not a text that a caller made up.
create function refuse_unknown_models() returns trigger language plpgsql set search_path = public, pg_temp as $$
begin
  if exists (select from unnest(new.models) as listed (name) where not exists (select from models m where m.name = listed.name)) then
    raise exception 'Cannot store key: it lists a model that does not exist' using errcode = 'EP404';
  end if;
  return new;
end
$$;

create trigger api_keys_models_known before insert or update of models on api_keys
  for each row when (new.models is not null) execute function refuse_unknown_models();
