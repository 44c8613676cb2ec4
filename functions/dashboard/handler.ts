/** Serves the web app: the page in the reader's language, and its assets. It reads nothing and calls no one. */
import { EpithreError, errorResponse } from "#shared/errors.ts";
import { accepted, languageOf } from "#shared/languages.ts";
import { securityHeaders } from "#shared/page-headers.ts";
import type { Resource, Site } from "./site.ts";

export interface Deps {
  site: Site;
}

/** `/dashboard/app.js`, or with a version `/dashboard/0123456789ab/app.js`. */
const assetPath = /^\/dashboard\/(?:([0-9a-f]{12})\/)?([a-z.-]+)$/;

/** A browser asks again each time and mostly hears 304. */
const revalidate = "no-cache";
/** Seconds in a year, the longest that caches honour: a versioned address never changes its content. */
const keepForGood = "public, max-age=31536000, immutable";

export function createHandler({ site }: Deps): (request: Request) => Promise<Response> {
  return async function dashboard(request) {
    const response = answer(site, request);
    for (const [name, value] of Object.entries(securityHeaders)) response.headers.set(name, value);
    return response;
  };
}

function answer(site: Site, request: Request): Response {
  const { pathname, searchParams } = new URL(request.url);
  const isPage = pathname === "/" || pathname === "/dashboard" || pathname === "/dashboard/";
  const [, version, name = ""] = assetPath.exec(pathname) ?? [];
  const asset = site.asset(name);
  if (!isPage && !asset) {
    return errorResponse(new EpithreError("not_found", "Cannot find this page: the dashboard is at /dashboard/"));
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return errorResponse(
      new EpithreError("method_not_allowed", "Cannot answer this method here: use GET", { headers: { allow: "GET, HEAD" } }),
    );
  }
  // Another version's address answers too, uncached: during an update a page may come from one replica and its
  // assets from another.
  if (asset) return send(request, asset, { "cache-control": version === site.version ? keepForGood : revalidate, vary: "accept-encoding" });
  const language = languageOf(searchParams.get("lang"), request.headers.get("accept-language"));
  return send(request, site.page(language), {
    "cache-control": revalidate,
    "content-language": language,
    vary: "accept-encoding, accept-language",
  });
}

function send({ method, headers: asked }: Request, resource: Resource, headers: Record<string, string>): Response {
  const zipped = accepted(asked.get("accept-encoding")).includes("gzip");
  const etag = `"${resource.digest}${zipped ? "-gzip" : ""}"`;
  if (matches(asked.get("if-none-match"), etag)) return new Response(null, { status: 304, headers: { ...headers, etag } });
  const body = zipped ? resource.gzip : resource.identity;
  return new Response(method === "HEAD" ? null : body, {
    headers: {
      ...headers,
      etag,
      "content-type": resource.contentType,
      "content-length": String(body.byteLength),
      ...(zipped ? { "content-encoding": "gzip" } : {}),
    },
  });
}

/** If-None-Match compares weakly: caches on the way may have marked the tag `W/`. */
function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  return ifNoneMatch.split(",").some((tag) => [etag, "*"].includes(tag.trim().replace(/^W\//, "")));
}
