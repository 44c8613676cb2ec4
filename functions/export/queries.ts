/** All SQL of export. It only reads. */
import type { Sql } from "#shared/db.ts";
import type { IdRange } from "./range.ts";
import type { UsageRow } from "./schema.ts";

/** Records of one page: about 200 KB of CSV, and a few milliseconds of Postgres. */
export const pageRows = 1_000;

/** Milliseconds. Dropping a slice waits for its readers, and inserts wait behind it: a page never reads for long. */
const pageTimeoutMs = 900;

/** The next events of the account in the order of their ids; fewer than `pageRows` when there are no more. */
export function findUsagePage(sql: Sql, accountId: string, { afterId, lastId }: IdRange): Promise<UsageRow[]> {
  return sql.begin("read only", async (transaction) => {
    await transaction`select set_config('statement_timeout', ${String(pageTimeoutMs)}, true)`;
    return transaction<UsageRow[]>`
      select ${usageColumns(sql)}
      from (
        select * from usage_events
        where account_id = ${accountId} and id > ${afterId} and id <= ${lastId}
        order by id
        limit ${pageRows}
      ) u
      join models m on m.id = u.model_id
      order by u.id
    `;
  });
}

/** The event of this request, if it is the account's own. */
export async function findUsageEvent(sql: Sql, accountId: string, id: string): Promise<UsageRow | undefined> {
  const [event] = await sql<UsageRow[]>`
    select ${usageColumns(sql)}
    from usage_events u
    join models m on m.id = u.model_id
    where u.id = ${id} and u.account_id = ${accountId}
  `;
  return event;
}

/** What both answer of an event. */
function usageColumns(sql: Sql) {
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
    u.cost_micro as "costMicro",
    u.latency_ms as "latencyMs",
    u.price_version as "priceVersion"
  `;
}
