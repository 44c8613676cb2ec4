/** The caller's own usage: as CSV, request by request, and signed receipts of both. */
import type { AccountOf } from "#shared/caller.ts";
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError, errorResponse } from "#shared/errors.ts";
import type { ReceiptKey, ReceiptSigner } from "#shared/receipts.ts";
import { createCsvReceipt, receiptPath } from "./csv-receipt.ts";
import type { Answer } from "./parts.ts";
import { createSeats, exportSeats, lookUpSeats } from "./seats.ts";
import { createUsageCsv, csvPath } from "./usage-csv.ts";
import { createUsageReceipt, usagePath } from "./usage-receipt.ts";

export interface Deps {
  accountOf: AccountOf;
  database: DatabasePool;
  signer: ReceiptSigner;
  /** Public keys beside the signer's: retired ones, whose receipts still count, and the next one. */
  otherKeys: readonly ReceiptKey[];
  clock: Clock;
}

const keysPath = "/.well-known/epithre-receipt-keys.json";

/** Of every answer. Browsers may call with their own key: no cookie exists that could be sent along. */
const commonHeaders = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "retry-after, content-disposition, link",
  "x-content-type-options": "nosniff",
};

const preflightHeaders = {
  "access-control-allow-methods": "GET, OPTIONS",
  "access-control-allow-headers": "authorization",
  "access-control-max-age": "86400",
};

/** A JWK Set (RFC 7517). A new key is published well before it signs, so nobody needs the set fresher than this. */
const keysHeaders = { "content-type": "application/jwk-set+json", "cache-control": "public, max-age=300" };

export function createHandler({ accountOf, otherKeys, ...deps }: Deps): (request: Request) => Promise<Response> {
  const { signer } = deps;
  const parts = { ...deps, exports: createSeats(exportSeats), lookUps: createSeats(lookUpSeats) };
  const keySet = JSON.stringify({ keys: [signer.key, ...otherKeys.filter(({ kid }) => kid !== signer.key.kid)] });
  const usageCsv = createUsageCsv(parts);
  const csvReceipt = createCsvReceipt(parts);
  const usageReceipt = createUsageReceipt(parts);

  /** Of one's own usage; undefined where there is nothing of it. */
  function ownRoute(pathname: string): Answer | undefined {
    if (pathname === csvPath) return usageCsv;
    if (pathname === receiptPath) return csvReceipt;
    return pathname.startsWith(usagePath) ? usageReceipt : undefined;
  }

  async function answer({ url, method, headers, signal }: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(url);
    const own = ownRoute(pathname);
    if (!own && pathname !== keysPath) {
      throw new EpithreError("unknown_url", `Cannot find this route: usage is at ${csvPath} and ${usagePath}{request_id}`);
    }
    if (method === "OPTIONS") return new Response(null, { status: 204, headers: preflightHeaders });
    if (method !== "GET") {
      throw new EpithreError("method_not_allowed", "Cannot answer this method here: use GET", { headers: { allow: "GET, OPTIONS" } });
    }
    if (!own) return new Response(keySet, { headers: keysHeaders });
    const accountId = await accountOf(headers.get("authorization"));
    return own({ accountId, pathname, searchParams, signal });
  }

  return async function usage(request) {
    const response = await answer(request).catch(errorResponse);
    for (const [name, value] of Object.entries(commonHeaders)) response.headers.set(name, value);
    if (!response.headers.has("cache-control")) response.headers.set("cache-control", "no-store");
    return response;
  };
}
