/** Usage of one account by the million, spread over the slices that there are, with that of others between. */
import { hash, randomUUID } from "node:crypto";
import type { Sql } from "#shared/db.ts";

export interface Filled {
  accountId: string;
  /** What all of it cost. */
  costMicro: bigint;
  /** SHA-256 of all ids in their order. */
  ids: string;
}

/** Rows of one statement. */
const batch = 50_000;

export async function fillUsage(sql: Sql, rows: number): Promise<Filled> {
  const [account] = await sql<{ id: string }[]>`insert into accounts default values returning id`;
  const accountId = account!.id;
  const keys = Array.from({ length: 5 }, () => randomUUID());
  const all = Math.ceil((rows * 11) / 10);
  for (let from = 0; from < all; from += batch) {
    await sql`
      insert into usage_events
      select
        uuidv7(interval '12 days' * (n::float8 / ${all})),
        case when n % 11 = 10 then gen_random_uuid() else ${accountId}::uuid end, (${keys}::uuid[])[1 + n % 5],
        1000 + n * 7, 1, n % 4000, n % 100, n % 900, n % 50, 0, 20 + n % 5000,
        (array['chat.completions', 'completions', 'embeddings'])[1 + n % 3]::usage_endpoint, 1 + n % (select count(*) from models),
        case when n % 50 = 0 then 429 else 200 end
      from generate_series(${from}::integer, ${Math.min(from + batch, all) - 1}::integer) as n
    `;
  }
  await sql`vacuum analyze usage_events`;
  const [row] = await sql<{ count: bigint; cost: bigint }[]>`
    select count(*), sum(cost_micro)::bigint as cost
    from usage_events where account_id = ${accountId}
  `;
  if (Number(row!.count) !== rows) throw new Error(`Cannot measure: ${row!.count} rows are stored, not ${rows}`);
  const ids: string[] = [];
  await sql<{ id: string }[]>`select id from usage_events where account_id = ${accountId} order by id`.cursor(batch, (some) => {
    for (const { id } of some) ids.push(id);
  });
  return { accountId, costMicro: row!.cost, ids: hash("sha256", ids.join("")) };
}
