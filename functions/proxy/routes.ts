/** What the proxy answers, by method and path. Paths are matched exactly: what is not here is 404. */
import type { endpoints, modelKinds, scopes } from "#shared/policy.ts";
import { EpithreError } from "#shared/errors.ts";

export type EndpointName = (typeof endpoints)[number];

export interface Endpoint {
  name: EndpointName;
  scope: (typeof scopes)[number];
  /** The kind of model that this endpoint takes. */
  kind: (typeof modelKinds)[number];
  body: "json" | "multipart";
}

export type Route =
  | { to: "inference"; endpoint: Endpoint }
  | { to: "models" }
  | { to: "model"; id: string }
  | { to: "key" };

const inference: Record<string, Endpoint> = {
  "/v1/chat/completions": { name: "chat.completions", scope: "chat", kind: "chat", body: "json" },
  "/v1/completions": { name: "completions", scope: "chat", kind: "chat", body: "json" },
  "/v1/embeddings": { name: "embeddings", scope: "embeddings", kind: "embedding", body: "json" },
  "/v1/images/generations": { name: "images.generations", scope: "images", kind: "image", body: "json" },
  "/v1/images/edits": { name: "images.edits", scope: "images", kind: "image", body: "multipart" },
  "/v1/images/variations": { name: "images.variations", scope: "images", kind: "image", body: "multipart" },
};

const inferenceRoutes = new Map<string, Route>(
  Object.entries(inference).map(([path, endpoint]) => [path, { to: "inference", endpoint }]),
);

/** What OpenAI's API keeps on its servers and Epithre does not have: the answer says why. */
const retaining = /^\/v1\/(files|uploads|batches|assistants|threads|vector_stores|fine_tuning|conversations|evals)(\/|$)/;

const methodOf = { inference: "POST", models: "GET", model: "GET", key: "GET" } as const;

/** Throws `unknown_url`, `method_not_allowed` or `zero_retention`. `url` is the request target; its query is not read. */
export function routeOf(method: string, url: string): Route {
  const query = url.indexOf("?");
  const path = query < 0 ? url : url.slice(0, query);
  const route = inferenceRoutes.get(path) ?? readRoute(path);
  if (!route) {
    if (retaining.test(path)) {
      throw new EpithreError(
        "zero_retention",
        "Cannot offer this route: Epithre keeps no content, so there are no stored files, batches or threads. Send the content with each call.",
      );
    }
    throw new EpithreError("unknown_url", "Cannot find this route: see the list of endpoints in the documentation");
  }
  const allowed = methodOf[route.to];
  if (method !== allowed) {
    throw new EpithreError("method_not_allowed", `Cannot answer this method here: use ${allowed}`, {
      headers: { allow: `${allowed}, OPTIONS` },
    });
  }
  return route;
}

function readRoute(path: string): Route | undefined {
  if (path === "/v1/models") return { to: "models" };
  if (path === "/v1/key") return { to: "key" };
  if (!path.startsWith("/v1/models/")) return undefined;
  try {
    return { to: "model", id: decodeURIComponent(path.slice("/v1/models/".length)) };
  } catch {
    return undefined;
  }
}
