/**
 * The local gateway: OpenFaaS's gateway and the cluster's ingress in one port of this machine. It is for
 * developing and for testing on one machine; the cluster is where Epithre scales. It differs from OpenFaaS's on
 * purpose in two things: a function that is down is an error and never an empty 200, and an answer that breaks
 * off breaks the connection instead of ending cleanly. It writes no log at all.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";
import { EpithreError } from "#shared/errors.ts";
import { forward, refuse } from "./forward.ts";
import type { GatewayMetrics } from "./gateway-metrics.ts";
import { functionRoute, keepParameters, publicRoute } from "./routes.ts";
import { createSystemApi, type SystemApi } from "./system-api.ts";

export interface GatewayOptions {
  /** 0 takes a free one. */
  port: number;
  system: SystemApi;
  metrics: GatewayMetrics;
  /** The port where each function listens. */
  functionPorts: ReadonlyMap<string, number>;
}

export interface RunningGateway {
  port: number;
  url: string;
  /** Takes no new connections; what runs goes on. */
  drain(): void;
  /** Cuts what still runs. */
  close(): Promise<void>;
}

/** Milliseconds that an idle connection of a caller is kept: longer than SDKs keep theirs, so that they close first. */
const keepAliveTimeoutMs = 75_000;

/** Milliseconds for a whole request to arrive; a 24 MB body over a slow line takes minutes. */
const requestTimeoutMs = 10 * 60_000;

/** Milliseconds that a function may be silent: above the proxy's limits for a stream, which end in an error event. */
const functionTimeoutMs = 60 * 60_000;

/** Milliseconds to connect to a function on this machine. */
const connectTimeoutMs = 1_000;

export async function startGateway({ port, system, metrics, functionPorts }: GatewayOptions): Promise<RunningGateway> {
  const pools = new Map([...functionPorts].map(([name, functionPort]) => [name, createPool(functionPort)]));
  const answerSystem = createSystemApi(system);

  function route(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url!;
    const question = url.indexOf("?");
    const path = question === -1 ? url : url.slice(0, question);
    const query = question === -1 ? "" : url.slice(question + 1);

    const open = publicRoute(path);
    if (open) {
      const kept = keepParameters(query, open.query);
      const target = kept === "" ? path : `${path}?${kept}`;
      return invoke(request, response, { name: open.to, target, isPublic: true, streams: open.streams });
    }
    const direct = functionRoute(path);
    if (direct) {
      const target = question === -1 ? direct.rest : `${direct.rest}?${query}`;
      const streams = request.headers.accept?.startsWith("text/event-stream") === true;
      return invoke(request, response, { name: direct.name, target, isPublic: false, streams });
    }
    if (path.startsWith("/system/")) return answerSystem(request, response, new URL(url, "http://gateway"));
    if (path.startsWith("/async-function/")) return refuse(response, queueingRefused());
    if (path === "/healthz") return void response.end("OK");
    if (path === "/metrics") return void metrics.text().then((text) => response.end(text));
    refuse(response, unknownUrl());
  }

  interface Invocation {
    name: string;
    target: string;
    isPublic: boolean;
    streams: boolean;
  }

  function invoke(request: IncomingMessage, response: ServerResponse, { name, ...rest }: Invocation): void {
    const pool = pools.get(name);
    if (!pool) return refuse(response, unknownFunction());
    const startedMs = performance.now();
    metrics.started(name);
    void forward(request, response, { pool, ...rest }).then((status) =>
      metrics.completed(name, status, (performance.now() - startedMs) / 1000),
    );
  }

  const server = createServer({ keepAliveTimeout: keepAliveTimeoutMs, requestTimeout: requestTimeoutMs }, route);
  const listening = await listen(server, port);
  return {
    port: listening,
    url: `http://127.0.0.1:${listening}`,
    drain() {
      server.close();
      server.closeIdleConnections();
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
    },
  };
}

/** Throws one sentence when `startGateway` could not have the port right now. */
export async function expectFreePort(port: number): Promise<void> {
  const probe = createServer();
  await listen(probe, port);
  await new Promise((settle) => probe.close(settle));
}

function createPool(port: number): Pool {
  return new Pool(`http://127.0.0.1:${port}`, {
    // As many as there are callers: a queue here would look like a slow function.
    connections: null,
    pipelining: 1,
    connectTimeout: connectTimeoutMs,
    headersTimeout: functionTimeoutMs,
    bodyTimeout: functionTimeoutMs,
  });
}

/** Loopback only: what is not public on the internet is open here. */
function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  return new Promise((settle, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) => fail(new Error(listenProblem(port, error.code))));
    server.listen(port, "127.0.0.1", () => settle((server.address() as { port: number }).port));
  });
}

function listenProblem(port: number, code: string | undefined): string {
  if (code === "EADDRINUSE") return `Cannot listen on port ${port}: another program uses it; end that one or give --port another`;
  if (code === "EACCES") return `Cannot listen on port ${port}: permission denied; give --port one above 1023`;
  return `Cannot listen on port ${port}: the system answers ${code}; give --port another`;
}

const queueingRefused = () =>
  new EpithreError("queueing_refused", "Cannot queue a call: a queue would store its content. Call /function/ or /v1/ instead.");

const unknownUrl = () =>
  new EpithreError("unknown_url", "Cannot find this address: the API is under /v1/, the dashboard under /dashboard/.");

const unknownFunction = () => new EpithreError("not_found", "Cannot find the function: stack.yml has none of this name.");
