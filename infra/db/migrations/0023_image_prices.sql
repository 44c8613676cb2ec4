-- policy: none; prices are the operator's, and name no person
--
-- Images by size and quality: a line of a price is a price version of its own, so that a usage event, which names one
-- version, says by which line it was charged. The price itself is the line for every size and quality that is not listed.

create type image_quality as enum ('low', 'medium', 'high', 'standard', 'hd');

alter table prices
  add column line_of integer references prices (version),
  add column size text constraint prices_size_form check (size ~ '^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$'),
  add column quality image_quality,
  add constraint prices_line_names_something check ((line_of is null) = (size is null and quality is null));

create unique index prices_lines on prices (line_of, size, quality) nulls not distinct where line_of is not null;

-- Adds a line to a price, and answers the line's own version: all else in it is the price's. 23505: the price has this
-- line. EP404: there is no such price. EP409: it is a line itself, or its model makes no images.
create function create_price_line(p_version integer, p_size text, p_quality image_quality, p_image_micro bigint)
returns integer language plpgsql set search_path = public, pg_temp as $$
declare
  v_version integer;
begin
  insert into prices (
    model_id, effective_at, input_micro, cached_input_micro, output_micro, image_micro, line_of, size, quality
  )
  select model_id, effective_at, input_micro, cached_input_micro, output_micro, p_image_micro, version, p_size, p_quality
  from prices
  where version = p_version and line_of is null
    and exists (select from models m where m.id = model_id and m.kind = 'image')
  returning version into v_version;
  if v_version is not null then
    return v_version;
  elsif exists (select from prices where version = p_version) then
    raise exception 'Cannot add line: only a price of images has lines' using errcode = 'EP409';
  end if;
  raise exception 'Cannot add line: no such price' using errcode = 'EP404';
end
$$;

drop function admin_create_price(text, timestamptz, bigint, bigint, bigint, bigint);

-- A price with its lines, a JSON array of {size | null, quality | null, image_micro}: all of it or nothing. EP410: the
-- time has passed; a charge must be found to have followed the price that was in force.
create function admin_create_price(
  p_model text, p_effective_at timestamptz, p_input_micro bigint, p_cached_input_micro bigint,
  p_output_micro bigint, p_image_micro bigint, p_lines jsonb default '[]'
) returns integer language plpgsql security definer set search_path = public, pg_temp as $$
declare
  v_version integer;
begin
  if p_effective_at < now() then
    raise exception 'Cannot set price: its time has passed' using errcode = 'EP410';
  end if;
  v_version := create_price(p_model, p_effective_at, p_input_micro, p_cached_input_micro, p_output_micro, p_image_micro);
  perform create_price_line(v_version, size, quality, image_micro)
  from jsonb_to_recordset(p_lines) as line (size text, quality image_quality, image_micro bigint);
  perform append_audit('price_created');
  return v_version;
end
$$;

grant execute on function admin_create_price(text, timestamptz, bigint, bigint, bigint, bigint, jsonb) to epithre_admin;
