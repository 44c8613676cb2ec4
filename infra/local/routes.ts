/**
 * Where a request goes. The public routes are what the ingress in the cluster maps, first match first; all other
 * paths of the gateway (`/function/*`, `/system/*`) are closed to the public there and on loopback here.
 */
import type { FunctionName } from "#shared/flow.ts";

export interface PublicRoute {
  /** The whole path, or its beginning when it ends in `/*`. */
  path: string;
  to: FunctionName;
  /** Parameters of the query that reach the function; the rest is cut off, for gateways log whole URLs. */
  query: readonly string[];
  /** Whether answers stream. The ingress asks for that by the Accept header, the only way OpenFaaS has. */
  streams: boolean;
}

const usageQuery = ["from", "to", "model", "key_id", "endpoint", "status"];

export const publicRoutes: readonly PublicRoute[] = [
  { path: "/v1/usage.csv", to: "export", query: [...usageQuery, "cursor"], streams: true },
  { path: "/v1/usage.csv.receipt", to: "export", query: [...usageQuery, "cursor", "through", "row"], streams: false },
  { path: "/v1/usage", to: "export", query: [...usageQuery, "group_by"], streams: false },
  { path: "/v1/usage/events", to: "export", query: [...usageQuery, "cursor"], streams: false },
  // Also files on their way.
  { path: "/v1/usage/exports/*", to: "export", query: [], streams: true },
  { path: "/v1/usage/*", to: "export", query: [], streams: false },
  { path: "/.well-known/epithre-receipt-keys.json", to: "export", query: [], streams: false },
  { path: "/v1/prices", to: "billing", query: [], streams: false },
  { path: "/v1/billing/*", to: "billing", query: ["limit", "cursor"], streams: false },
  { path: "/v1/account", to: "accounts", query: [], streams: false },
  { path: "/v1/account/*", to: "accounts", query: [], streams: false },
  { path: "/v1/*", to: "proxy", query: [], streams: true },
  { path: "/", to: "dashboard", query: ["lang"], streams: false },
  { path: "/dashboard", to: "dashboard", query: ["lang"], streams: false },
  { path: "/dashboard/*", to: "dashboard", query: ["lang"], streams: false },
];

export function publicRoute(path: string): PublicRoute | undefined {
  return publicRoutes.find((route) =>
    route.path.endsWith("/*") ? path.startsWith(route.path.slice(0, -1)) : path === route.path,
  );
}

/** `a=1&b=2` with only the listed parameters, as sent. */
export function keepParameters(query: string, allowed: readonly string[]): string {
  if (query === "" || allowed.length === 0) return "";
  return query
    .split("&")
    .filter((pair) => allowed.includes(pair.split("=", 1)[0]!))
    .join("&");
}

/** The namespace that faas-netes puts functions into; clients may write `NAME.NAMESPACE`. */
export const namespace = "openfaas-fn";

const functionPrefix = "/function/";

/** `/function/purge.openfaas-fn/run` -> purge and `/run`; undefined for other paths. */
export function functionRoute(path: string): { name: string; rest: string } | undefined {
  if (!path.startsWith(functionPrefix)) return undefined;
  const slash = path.indexOf("/", functionPrefix.length);
  const fullName = path.slice(functionPrefix.length, slash === -1 ? undefined : slash);
  const name = fullName.endsWith(`.${namespace}`) ? fullName.slice(0, -namespace.length - 1) : fullName;
  return { name, rest: slash === -1 ? "/" : path.slice(slash) };
}
