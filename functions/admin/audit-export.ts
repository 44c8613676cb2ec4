/** The audit log as `npm run verify-audit` reads it: for each day its signed statement, then its rows, a line each. */
import { type AuditRow, endOfDay } from "#shared/audit-chain.ts";
import { nextAuditRows } from "#shared/audit-rows.ts";
import type { DatabasePool } from "#shared/db-pool.ts";

/** Rows of one page: a few hundred kilobytes in memory, whatever the length of the log. */
const rowsMax = 500;

export function exportResponse(database: DatabasePool, days: { day: string; statement: string }[]): Response {
  const encoder = new TextEncoder();
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const { day, statement } of days) {
      yield encoder.encode(`${JSON.stringify({ statement })}\n`);
      for await (const rows of pagesOf(database, day)) {
        yield encoder.encode(rows.map((row) => `${JSON.stringify({ row })}\n`).join(""));
      }
    }
  }
  const parts = bytes();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await parts.return(undefined);
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" } });
}

async function* pagesOf(database: DatabasePool, day: string): AsyncGenerator<AuditRow[]> {
  let after = { at: `${day}T00:00:00Z`, id: "0" };
  for (;;) {
    const page = await database.run((sql) => nextAuditRows(sql, after, endOfDay(day), rowsMax));
    if (page.length > 0) yield page;
    if (page.length < rowsMax) return;
    after = page.at(-1)!;
  }
}
