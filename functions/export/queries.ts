/** All SQL of export about usage events: it only reads them. That of files built in the background is in file-queries.ts. */
import type { Sql } from "#shared/db.ts";
import type { IdRange } from "./range.ts";
import type { Dimension, Filters, UsageRow } from "./schema.ts";

/** Events that one page looks at: about 400 KB of CSV, and a few milliseconds of Postgres. */
export const pageRows = 2500;

/** Events that one piece of a sum looks at, in as short a time: they fit into the working memory of a query. */
export const chunkRows = 20_000;

/**
 * Milliseconds that a statement of export may take, of the pool's connections. Dropping a slice waits for its readers, and
 * inserts wait behind it: nothing here reads for long. Each is a transaction of its own, at one round trip.
 */
export const statementTimeoutMs = 900;

/** What was found in a range, and the last event that was looked at; null when all of the range was. */
export interface Piece<Found> {
  found: Found;
  endId: string | null;
}

/**
 * Of the next `pageRows` events of the account in the order of their ids, those that the filters take: a record of the CSV
 * for each (records.ts), with its line end. Nothing in it needs quotes: names of models are of one form (models_name_form).
 */
export async function findUsagePage(sql: Sql, accountId: string, { afterId, lastId }: IdRange, filters: Filters): Promise<Piece<Buffer>> {
  const [[found, endId]] = (await sql`
    with scanned as (
      select * from usage_events
      where account_id = ${accountId} and id > ${afterId} and id <= ${lastId}
      order by id
      limit ${pageRows}
    )
    select
      coalesce((
        select string_agg(
          concat_ws(
            ',', to_char(uuid_extract_timestamp(u.id), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), u.id, u.key_id, m.name, u.endpoint,
            u.status, u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens, u.images,
            u.cost_micro * 0.000001, u.latency_ms, u.price_version
          ),
          E'\r\n' order by u.id
        ) || E'\r\n'
        from scanned u
        join models m on m.id = u.model_id
        where ${matching(sql, filters)}
      ), '') as found,
      (select id from scanned order by id offset ${pageRows - 1}) as "endId"
  `.raw()) as unknown as [[Buffer, Buffer | null]];
  return { found, endId: endId && endId.toString("latin1") };
}

/** What some events come to, told apart by what was asked. */
export interface UsageSums {
  /** `2026-05-31` */
  day: string | null;
  model: string | null;
  keyId: string | null;
  requests: number;
  errors: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  images: number;
  /** As text: JSON has no number that holds it. */
  costMicro: string;
  /** Of the requests that succeeded: steps of latency (latency.ts), and how many are on each. */
  latencySteps: number[];
  latencyCounts: number[];
}

/** Sums of the next `chunkRows` events of the account in the order of their ids, of those that the filters take. */
export async function sumUsageChunk(
  sql: Sql,
  accountId: string,
  { afterId, lastId }: IdRange,
  filters: Filters,
  groupBy: readonly Dimension[],
  stepsPerE: number,
): Promise<Piece<UsageSums[]>> {
  const by = (dimension: Dimension) => groupBy.includes(dimension);
  const [chunk] = await sql<Piece<UsageSums[]>[]>`
    with scanned as (
      select * from usage_events
      where account_id = ${accountId} and id > ${afterId} and id <= ${lastId}
      order by id
      limit ${chunkRows}
    ),
    steps as (
      select
        ${by("day") ? sql`uuid_extract_timestamp(u.id)::date` : sql`null::date`} as day,
        ${by("model") ? sql`m.name` : sql`null::text`} as model,
        ${by("key_id") ? sql`u.key_id` : sql`null::uuid`} as key_id,
        case when u.status < 400 then floor(ln(greatest(u.latency_ms, 1)::float8) * ${stepsPerE}::float8)::integer end as step,
        count(*) as requests, count(*) filter (where u.status >= 400) as errors, sum(u.prompt_tokens) as prompt_tokens,
        sum(u.cached_tokens) as cached_tokens, sum(u.completion_tokens) as completion_tokens,
        sum(u.reasoning_tokens) as reasoning_tokens, sum(u.images) as images, sum(u.cost_micro) as cost_micro
      from scanned u
      join models m on m.id = u.model_id
      where ${matching(sql, filters)}
      group by 1, 2, 3, 4
    ),
    sums as (
      select
        day, model, key_id as "keyId", sum(requests) as requests, sum(errors) as errors, sum(prompt_tokens) as "promptTokens",
        sum(cached_tokens) as "cachedTokens", sum(completion_tokens) as "completionTokens",
        sum(reasoning_tokens) as "reasoningTokens", sum(images) as images, sum(cost_micro)::text as "costMicro",
        coalesce(array_agg(step) filter (where step is not null), '{}') as "latencySteps",
        coalesce(array_agg(requests) filter (where step is not null), '{}') as "latencyCounts"
      from steps
      group by 1, 2, 3
    )
    select
      (select coalesce(json_agg(sums), '[]') from sums) as found,
      (select id from scanned order by id offset ${chunkRows - 1}) as "endId"
  `;
  return chunk!;
}

/** The event of this request, if it is the account's own. */
export async function findUsageEvent(sql: Sql, accountId: string, id: string): Promise<UsageRow | undefined> {
  const [event] = await sql<EventRow[]>`
    select ${eventColumns(sql)}
    from usage_events u
    join models m on m.id = u.model_id
    where u.id = ${id} and u.account_id = ${accountId}
  `;
  return event && usageRow(event);
}

/**
 * Of the last `pageRows` events of the account that come before `beforeId`, those that the filters take, the newest first;
 * `rowsMax` of them at most.
 */
export async function findUsageBefore(
  sql: Sql,
  accountId: string,
  { afterId, beforeId }: { afterId: string; beforeId: string },
  filters: Filters,
  rowsMax: number,
): Promise<Piece<UsageRow[]>> {
  const [piece] = await sql<Piece<EventRow[]>[]>`
    with scanned as (
      select * from usage_events
      where account_id = ${accountId} and id > ${afterId} and id < ${beforeId}
      order by id desc
      limit ${pageRows}
    ),
    matches as (
      select ${eventColumns(sql)}
      from scanned u
      join models m on m.id = u.model_id
      where ${matching(sql, filters)}
      order by u.id desc
      limit ${rowsMax}
    )
    select
      (select coalesce(json_agg(matches order by id desc), '[]') from matches) as found,
      (select id from scanned order by id desc offset ${pageRows - 1}) as "endId"
  `;
  return { found: piece!.found.map(usageRow), endId: piece!.endId };
}

/** An event as it is read: JSON has no number that holds its cost. */
type EventRow = Omit<UsageRow, "costMicro"> & { costMicro: string };

const usageRow = (row: EventRow): UsageRow => ({ ...row, costMicro: BigInt(row.costMicro) });

function eventColumns(sql: Sql) {
  return sql`
    u.id,
    u.key_id as "keyId",
    m.name as model,
    u.endpoint,
    u.status,
    u.prompt_tokens as "promptTokens",
    u.cached_tokens as "cachedTokens",
    u.completion_tokens as "completionTokens",
    u.reasoning_tokens as "reasoningTokens",
    u.images,
    u.cost_micro::text as "costMicro",
    u.latency_ms as "latencyMs",
    u.price_version as "priceVersion"
  `;
}

/** Which of the events `u`, of the models `m`, count. Looked at after the limit: a rare match must not make a page long. */
function matching(sql: Sql, { model, key_id: keyId, endpoint, status }: Filters) {
  return sql`
    true
    ${model === undefined ? sql`` : sql`and m.name = ${model}`}
    ${keyId === undefined ? sql`` : sql`and u.key_id = ${keyId}`}
    ${endpoint === undefined ? sql`` : sql`and u.endpoint = ${endpoint}`}
    ${status === undefined ? sql`` : sql`and u.status / 100 = ${Number(status[0])}`}
  `;
}
