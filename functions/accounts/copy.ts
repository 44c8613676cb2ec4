/**
 * A copy of all that is kept about an account (right.access), table by table and page by page as it is read: no more than
 * a page is in memory, and no transaction lasts longer than reading one.
 */
import type { DatabasePool } from "#shared/db-pool.ts";
import { policy, promised, type PromiseId } from "#shared/policy.ts";
import type { PublicRoute } from "#shared/public.ts";
import { type Category, columns, retention, type Retention, staffTables } from "#shared/stored-data.ts";
import type { Parts } from "./parts.ts";
import { copyPage } from "./queries.ts";

/** Rows of a page: some 200 KB. */
const pageRows = 500;

const rows: readonly Retention[] = retention;

/** The tables that have something about accounts, by the policy's own data: a new one is in the copy by being there. */
export const accountTables = Object.keys(columns).filter(
  (table) => !staffTables.includes(table) && Object.keys(columns[table]!).some((category) => category !== "none"),
);

export function copyRoute({ database, sessionOf, throttles }: Parts): PublicRoute {
  return {
    method: "GET",
    path: "/v1/account/data",
    async answer({ request }) {
      const accountId = await sessionOf(request.headers.get("authorization"));
      throttles.take({ copyOfAccount: accountId });
      return new Response(streamOf(copyOf(database, accountId)), {
        headers: { "content-type": "application/json", "content-disposition": 'attachment; filename="epithre-account.json"' },
      });
    },
  };
}

/** Reads on only as fast as the caller takes it; a failure breaks it off. */
function streamOf(parts: AsyncGenerator<string>): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await parts.return(undefined);
    },
  });
}

async function* copyOf(database: DatabasePool, accountId: string): AsyncGenerator<string> {
  const about = {
    object: "account.copy",
    account_id: accountId,
    made_at: new Date().toISOString(),
    purposes: policy.filter(({ id }) => id.startsWith("use.")).map(({ id, promise }) => ({ id, promise })),
    trail: "audit_log has what was done about this account, by whom and when",
    usage_as_csv: "/v1/usage.csv",
    nowhere_stored: [promised("content.none").promise, promised("keep.session").promise],
  };
  yield `${JSON.stringify(about).slice(0, -1)},"tables":[`;
  for (const [index, table] of accountTables.entries()) {
    yield `${index === 0 ? "" : ","}\n${JSON.stringify(describeTable(table)).slice(0, -1)},"rows":[`;
    yield* rowsOf(database, accountId, table);
    yield "]}";
  }
  yield "\n]}\n";
}

async function* rowsOf(database: DatabasePool, accountId: string, table: string): AsyncGenerator<string> {
  let last: string | null = null;
  for (;;) {
    const after: string | null = last;
    const page: string[] = await database.run((sql) => copyPage(sql, accountId, table, after, pageRows));
    if (page.length > 0) yield `${after === null ? "" : ","}\n${page.join(",\n")}`;
    if (page.length < pageRows) return;
    last = page.at(-1)!;
  }
}

/** Which categories of the policy its columns are of, and when they end. */
function describeTable(table: string) {
  const categories = Object.entries(columns[table]!) as [Category, readonly string[]][];
  return {
    table,
    categories: categories.map(([id, names]) => ({ id, columns: names, promise: promised(id as PromiseId).promise })),
    kept: keptUntil(table, categories),
  };
}

/** A table without an end of its own goes with the rows that it belongs to, which are of its category. */
function keptUntil(table: string, categories: [Category, readonly string[]][]) {
  const ends = rows.filter((row) => row.table === table).map(({ limit, time }) => ({ ...limit, column: time }));
  return ends.length > 0 ? ends : categories.map(([id]) => promised(id as PromiseId).limit);
}
