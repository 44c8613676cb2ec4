/** GET /v1/usage.csv: the caller's own usage log, whole or from where it broke off (right.export). */
import type { AccountOf } from "#shared/caller.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError, errorResponse } from "#shared/errors.ts";
import { findUsagePage } from "./queries.ts";
import { type IdRange, idRange } from "./range.ts";
import { UsageQuery } from "./schema.ts";
import { createSeats } from "./seats.ts";
import { streamUsage } from "./usage-stream.ts";

export interface Deps {
  accountOf: AccountOf;
  database: DatabasePool;
}

const path = "/v1/usage.csv";

/** Of every answer. Browsers may call with their own key: no cookie exists that could be sent along. */
const commonHeaders = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "retry-after, content-disposition",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

const csvHeaders = {
  "content-type": "text/csv; charset=utf-8; header=present",
  "content-disposition": 'attachment; filename="epithre-usage.csv"',
};

const preflightHeaders = {
  "access-control-allow-methods": "GET, OPTIONS",
  "access-control-allow-headers": "authorization",
  "access-control-max-age": "86400",
};

export function createHandler({ accountOf, database }: Deps): (request: Request) => Promise<Response> {
  const seats = createSeats();

  async function exportUsage(request: Request, parameters: URLSearchParams): Promise<Response> {
    const accountId = await accountOf(request.headers.get("authorization"));
    const range = readRange(parameters);
    const pageAfter = (afterId: string) => database.run((sql) => findUsagePage(sql, accountId, { ...range, afterId }));

    const leaveSeat = seats.take(accountId);
    request.signal.addEventListener("abort", leaveSeat);
    try {
      // Before the answer begins: until here a failure can be told as an error.
      const firstPage = await pageAfter(range.afterId);
      return new Response(streamUsage({ firstPage, pageAfter, onEnd: leaveSeat }), { headers: csvHeaders });
    } catch (thrown) {
      leaveSeat();
      throw thrown;
    }
  }

  async function answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== path) throw new EpithreError("unknown_url", `Cannot find this route: usage is at ${path}`);
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: preflightHeaders });
    if (request.method === "GET") return exportUsage(request, searchParams);
    throw new EpithreError("method_not_allowed", "Cannot answer this method here: use GET", { headers: { allow: "GET, OPTIONS" } });
  }

  return async function usageCsv(request) {
    const response = await answer(request).catch(errorResponse);
    for (const [name, value] of Object.entries(commonHeaders)) response.headers.set(name, value);
    return response;
  };
}

function readRange(parameters: URLSearchParams): IdRange {
  const parsed = UsageQuery.safeParse(Object.fromEntries(parameters));
  if (!parsed.success) {
    const { code, path: [param], message } = parsed.error.issues[0]!;
    if (code === "unrecognized_keys") {
      throw new EpithreError("invalid_request", "Cannot use query: it has a parameter that this route does not know; it takes from, to and cursor");
    }
    throw new EpithreError("invalid_request", `Cannot use query: ${String(param)} ${message}`, { param: String(param) });
  }
  const { from, to } = parsed.data;
  if (from !== undefined && to !== undefined && from > to) {
    throw new EpithreError("invalid_request", "Cannot use query: from is later than to", { param: "from" });
  }
  return idRange(parsed.data);
}
