/** What operators do. Each mutation appends its audit row in its own transaction; nothing here is public. */
import { hash, timingSafeEqual } from "node:crypto";
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import { sqlState } from "#shared/db.ts";
import { EpithreError, type ErrorKind, errorResponse } from "#shared/errors.ts";
import { readJson } from "#shared/json-body.ts";
import { type Refusal, type Route, routes, type Settings } from "./routes.ts";

export interface Deps extends Settings {
  database: DatabasePool;
  /** The operators' bearer token. */
  operatorToken: string;
}

export function createHandler({ database, operatorToken, ...settings }: Deps): (request: Request) => Promise<Response> {
  const tokenDigest = hash("sha256", operatorToken, "buffer");

  /** Digests are compared, so that neither length nor content of the token shows in the time it takes. */
  function requireOperator(request: Request): void {
    const given = /^Bearer (\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    if (timingSafeEqual(hash("sha256", given, "buffer"), tokenDigest)) return;
    throw new EpithreError("invalid_api_key", "Cannot accept this call: send the operator's token as `Authorization: Bearer ...`");
  }

  return async function admin(request) {
    try {
      requireOperator(request);
      const { pathname } = new URL(request.url);
      const found = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (!found) throw new EpithreError("unknown_url", "Cannot find this route: see functions/admin/README.md for the ones there are");
      if (request.method !== "POST") throw new EpithreError("method_not_allowed", "Cannot answer this method here: use POST");
      const asked = await readJson(request, found.schema);
      const answer = await database.run((sql) => found.answer(sql, asked, settings)).catch((thrown) => explain(found, thrown));
      return Response.json(answer ?? {});
    } catch (thrown) {
      return errorResponse(thrown);
    }
  };
}

const refusalOf: Record<string, Refusal> = {
  EP404: "missing",
  EP409: "conflict",
  "23505": "conflict",
  EP410: "past",
  EP422: "mismatch",
  EP402: "short",
  "23514": "malformed",
};

const kindOf: Record<Refusal, ErrorKind> = {
  missing: "not_found",
  conflict: "conflict",
  past: "invalid_request",
  mismatch: "conflict",
  short: "insufficient_quota",
  malformed: "invalid_request",
};

function explain({ task, refusals }: Route<z.ZodType>, thrown: unknown): never {
  const refusal = refusalOf[sqlState(thrown)];
  if (!refusal || !refusals[refusal]) throw thrown;
  throw new EpithreError(kindOf[refusal], `Cannot ${task}: ${refusals[refusal]}`);
}
