/**
 * Routes that people's programs and browsers call: JSON in, JSON or a file out, OpenAI's error object for what is
 * refused. Any origin may call, with its own key: no cookie exists that could be sent along.
 */
import { EpithreError, errorResponse } from "./errors.ts";

export interface PublicCall {
  request: Request;
  /** What stands in the path where the route has `{id}`; else the empty string. */
  id: string;
  query: URLSearchParams;
}

export interface PublicRoute {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With at most one `{id}`, which is one segment: `/v1/billing/invoices/{id}`. */
  path: string;
  answer(call: PublicCall): Promise<Response>;
}

const commonHeaders = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "retry-after, content-disposition",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** An answer that has its own word on caching keeps it. */
export function createPublicHandler(routes: readonly PublicRoute[]): (request: Request) => Promise<Response> {
  async function answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const matches = routes.flatMap((route) => {
      const id = match(route.path, pathname);
      return id === undefined ? [] : [{ route, id }];
    });
    if (matches.length === 0) throw new EpithreError("unknown_url", "Cannot find this route: see the README for the ones there are");
    const methods = matches.map(({ route }) => route.method);
    if (request.method === "OPTIONS") return preflight(methods);
    const found = matches.find(({ route }) => route.method === request.method);
    if (!found) {
      throw new EpithreError("method_not_allowed", `Cannot answer this method here: use ${methods.join(" or ")}`, {
        headers: { allow: [...methods, "OPTIONS"].join(", ") },
      });
    }
    return found.route.answer({ request, id: found.id, query: searchParams });
  }

  return async function publicRoutes(request) {
    const response = await answer(request).catch(errorResponse);
    for (const [name, value] of Object.entries(commonHeaders)) {
      if (!response.headers.has(name)) response.headers.set(name, value);
    }
    return response;
  };
}

/** The id in `pathname`, `""` for a path without one, `undefined` where it is another path. */
function match(path: string, pathname: string): string | undefined {
  const [before, after] = path.split("{id}") as [string, string?];
  if (after === undefined) return pathname === path ? "" : undefined;
  if (!pathname.startsWith(before) || !pathname.endsWith(after)) return undefined;
  const id = pathname.slice(before.length, pathname.length - after.length);
  return /^[^/]+$/.test(id) && pathname.length === before.length + id.length + after.length ? id : undefined;
}

function preflight(methods: string[]): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": [...methods, "OPTIONS"].join(", "),
      "access-control-allow-headers": "authorization, content-type, idempotency-key",
      "access-control-max-age": "86400",
    },
  });
}
