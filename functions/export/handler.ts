/** The caller's own usage: as CSV, as sums, request by request, as files, and signed receipts. */
import type { AccountOf } from "#shared/caller.ts";
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError, errorResponse } from "#shared/errors.ts";
import type { ObjectStore } from "#shared/object-store.ts";
import type { ReceiptKey, ReceiptSigner } from "#shared/receipts.ts";
import { createScheduledHandler } from "#shared/scheduled.ts";
import type { BuildAnswer } from "./file-build.ts";
import { createFileDownload } from "./file-download.ts";
import { createRoutes, findRoute } from "./routes.ts";
import { createSeats, downloadSeats, exportSeats, lookUpSeats, summarySeats } from "./seats.ts";

export interface Deps {
  accountOf: AccountOf;
  database: DatabasePool;
  store: ObjectStore;
  /** What the schedule calls: builds files, and deletes those that are over. */
  build: () => Promise<BuildAnswer>;
  signer: ReceiptSigner;
  /** Public keys beside the signer's: retired ones, whose receipts still count, and the next one. */
  otherKeys: readonly ReceiptKey[];
  clock: Clock;
}

/** Of every answer. Browsers may call with their own key: no cookie exists that could be sent along. */
const commonHeaders = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "retry-after, content-disposition, content-range, location, link",
  "x-content-type-options": "nosniff",
};

/** A JWK Set (RFC 7517). A new key is published well before it signs, so nobody needs the set fresher than this. */
const keysHeaders = { "content-type": "application/jwk-set+json", "cache-control": "public, max-age=300" };

export function createHandler({ accountOf, otherKeys, build, ...deps }: Deps): (request: Request) => Promise<Response> {
  const { signer } = deps;
  const seats = {
    exports: createSeats(exportSeats),
    summaries: createSeats(summarySeats),
    lookUps: createSeats(lookUpSeats),
    downloads: createSeats(downloadSeats),
  };
  const parts = { ...deps, ...seats };
  const keySet = JSON.stringify({ keys: [signer.key, ...otherKeys.filter(({ kid }) => kid !== signer.key.kid)] });
  const routes = createRoutes(parts);
  const download = createFileDownload(parts);
  const scheduled = createScheduledHandler(build);

  async function answer(request: Request): Promise<Response> {
    const { url, method, headers, signal } = request;
    const { pathname, searchParams } = new URL(url);
    const route = findRoute(routes, pathname);
    const methods = route.own ? Object.keys(route.own) : ["GET"];
    if (method === "OPTIONS") return new Response(null, { status: 204, headers: preflightHeaders(methods) });
    if (!methods.includes(method)) {
      const allow = [...methods, "OPTIONS"].join(", ");
      throw new EpithreError("method_not_allowed", `Cannot answer this method here: use ${methods.join(" or ")}`, { headers: { allow } });
    }
    if (route.file) return download({ ...route.file, headers, signal });
    if (!route.own) return new Response(keySet, { headers: keysHeaders });
    const accountId = await accountOf(headers.get("authorization"));
    return route.own[method as "GET" | "POST"]!({ accountId, request, rest: route.rest, searchParams, signal });
  }

  return async function usage(request) {
    // What reaches the root comes from the schedule: the public routes are elsewhere.
    if (new URL(request.url).pathname === "/") return scheduled(request);
    const response = await answer(request).catch(errorResponse);
    for (const [name, value] of Object.entries(commonHeaders)) response.headers.set(name, value);
    if (!response.headers.has("cache-control")) response.headers.set("cache-control", "no-store");
    return response;
  };
}

function preflightHeaders(methods: readonly string[]): Record<string, string> {
  return {
    "access-control-allow-methods": [...methods, "OPTIONS"].join(", "),
    "access-control-allow-headers": "authorization, content-type, range",
    "access-control-max-age": "86400",
  };
}
