/**
 * `/system/*`: the part of OpenFaaS's REST API that `faas-cli list`, `describe`, `logs` and cron-connector read.
 * What would change the stack is refused: this gateway runs the functions of this folder, not images.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LogEntry, LogRing } from "./log-ring.ts";
import { namespace } from "./routes.ts";
import type { StackFunction } from "./stack-file.ts";

export interface LocalFunction {
  name: string;
  definition: StackFunction;
  /** 1 while it takes requests. */
  available: number;
  createdAtMs: number;
  log: LogRing;
}

export interface SystemApi {
  functions(): LocalFunction[];
  invocations(name: string): number;
  password: string;
}

/** The one account of the gateway, as OpenFaaS names it. */
export const gatewayUser = "admin";

/** Lines that `logs` shows when the caller does not say. */
const logTailDefault = 100;

const refusal =
  "Cannot change functions here: this gateway runs the functions of its folder on one machine. " +
  "Edit stack.yml and start again; deploy to the cluster with faas-cli and its gateway.";

export function createSystemApi(api: SystemApi): (request: IncomingMessage, response: ServerResponse, url: URL) => void {
  return function system(request, response, url) {
    if (!isAuthorized(request.headers.authorization, api.password)) {
      response.setHeader("www-authenticate", 'Basic realm="Restricted"');
      return sendText(response, 401, "Cannot answer: user name or password missing or wrong");
    }
    if (request.method !== "GET") return sendText(response, 501, refusal);
    const [, , area, name] = url.pathname.split("/");
    if (area === "function" && name) return sendFunction(response, api, name);
    if (area === "functions") return sendJson(response, inNamespace(url) ? api.functions().map((one) => status(api, one)) : []);
    if (area === "info") return sendJson(response, info);
    if (area === "namespaces") return sendJson(response, [namespace]);
    if (area === "secrets") return sendJson(response, inNamespace(url) ? secretNames(api) : []);
    if (area === "logs") return sendLogs(response, api, url);
    return sendText(response, 404, "Cannot find this part of the system API: the local gateway does not have it");
  };
}

/** Both sides are digested first, so that neither length nor content shows in the time that comparing takes. */
function isAuthorized(header: string | undefined, password: string): boolean {
  const expected = `Basic ${Buffer.from(`${gatewayUser}:${password}`).toString("base64")}`;
  return timingSafeEqual(hash("sha256", header ?? "", "buffer"), hash("sha256", expected, "buffer"));
}

function inNamespace(url: URL): boolean {
  return (url.searchParams.get("namespace") || namespace) === namespace;
}

/** The fields of `FunctionStatus` in faas-provider's types. */
function status(api: SystemApi, { name, definition, available, createdAtMs }: LocalFunction) {
  return {
    name,
    image: definition.image,
    namespace,
    envVars: definition.environment,
    secrets: definition.secrets,
    labels: definition.labels,
    annotations: definition.annotations,
    limits: definition.limits,
    requests: definition.requests,
    readOnlyRootFilesystem: definition.readonly_root_filesystem,
    invocationCount: api.invocations(name),
    replicas: 1,
    availableReplicas: available,
    createdAt: new Date(createdAtMs).toISOString(),
  };
}

function sendFunction(response: ServerResponse, api: SystemApi, name: string): void {
  const found = api.functions().find((one) => one.name === name);
  if (found) sendJson(response, status(api, found));
  else sendText(response, 404, "Cannot find the function: stack.yml has none of this name");
}

const info = {
  provider: {
    provider: "epithre-local",
    version: { release: "one machine", sha: "" },
    orchestration: "processes",
  },
  version: { release: "epithre-local", sha: "", commit_message: "" },
  arch: process.arch === "x64" ? "x86_64" : process.arch,
};

function secretNames(api: SystemApi) {
  const names = new Set(api.functions().flatMap((one) => one.definition.secrets));
  return [...names].sort().map((name) => ({ name, namespace }));
}

/** One JSON object a line, as `faas-cli logs` reads them; with `follow` until the caller leaves. */
function sendLogs(response: ServerResponse, api: SystemApi, url: URL): void {
  const name = (url.searchParams.get("name") ?? "").replace(`.${namespace}`, "");
  const found = api.functions().find((one) => one.name === name);
  if (!found || !inNamespace(url)) return sendText(response, 404, "Cannot show logs: stack.yml has no function of this name");
  const tail = Number(url.searchParams.get("tail") ?? logTailDefault);
  const sinceMs = Date.parse(url.searchParams.get("since") ?? "") || 0;
  const instance = url.searchParams.get("instance");
  const isWanted = (entry: LogEntry) => entry.timeMs >= sinceMs && (!instance || entry.instance === instance);
  const send = (entry: LogEntry) => isWanted(entry) && response.write(logLine(name, entry));

  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  const earlier = found.log.entries().filter(isWanted);
  for (const entry of tail >= 0 ? earlier.slice(Math.max(0, earlier.length - tail)) : earlier) send(entry);
  if (url.searchParams.get("follow") !== "true") return void response.end();
  response.once("close", found.log.follow(send));
}

function logLine(name: string, { instance, timeMs, text }: LogEntry): string {
  return `${JSON.stringify({ name, namespace, instance, timestamp: new Date(timeMs).toISOString(), text })}\n`;
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}

function sendText(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { "content-type": "text/plain; charset=utf-8" });
  response.end(`${text}\n`);
}
