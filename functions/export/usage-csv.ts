/** GET /v1/usage.csv: the caller's own usage log, whole or from where it broke off (right.export). */
import type { Answer, Parts } from "./parts.ts";
import { receiptPath } from "./paths.ts";
import { idRange } from "./range.ts";
import { readQuery } from "./read-query.ts";
import { UsageQuery } from "./schema.ts";
import { createPageAfter } from "./usage-pages.ts";
import { streamUsage } from "./usage-stream.ts";

const csvHeaders = {
  "content-type": "text/csv; charset=utf-8; header=present",
  "content-disposition": 'attachment; filename="epithre-usage.csv"',
};

export function createUsageCsv({ database, exports }: Parts): Answer {
  return async function usageCsv({ accountId, searchParams, signal }) {
    const query = readQuery(searchParams, UsageQuery);
    const range = idRange(query);
    const pageAfter = createPageAfter(database, accountId, range, query);

    const leaveSeat = exports.take(accountId);
    signal.addEventListener("abort", leaveSeat);
    try {
      // Before the answer begins: until here a failure can be told as an error.
      const firstPage = await pageAfter(range.afterId);
      const body = streamUsage({ firstPage, pageAfter, onEnd: leaveSeat });
      return new Response(body, { headers: { ...csvHeaders, link: receiptLink(query) } });
    } catch (thrown) {
      leaveSeat();
      throw thrown;
    }
  };
}

/** Where the receipt of this file is (RFC 8288); the caller adds `through`, its last request_id. */
function receiptLink(query: UsageQuery): string {
  const parameters = new URLSearchParams(Object.entries(query)).toString();
  return `<${receiptPath}${parameters === "" ? "" : `?${parameters}`}>; rel="describedby"; type="application/json"`;
}
