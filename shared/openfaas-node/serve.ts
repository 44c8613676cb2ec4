/** Serves one function over HTTP, as OpenFaaS calls it: on one port, with health, readiness and an orderly end. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { answerWith } from "./web.ts";

/** Bytes of a request's head: keys and a few headers fit, anything larger is an attack or a mistake. */
const headerBytesMaxDefault = 16 * 1024;
/** Milliseconds for a request's head: a slow sender is cut off before it holds a connection for long. */
const headersTimeoutMsDefault = 10_000;
/** Milliseconds for a whole request: 48 MiB over 10 Mbit/s take 40 s. */
const requestTimeoutMsDefault = 120_000;
/** Milliseconds that an idle connection stays open: longer than the ingress keeps its own, which closes first. */
const keepAliveTimeoutMsDefault = 75_000;
/** Connections of one process; beyond it new ones are closed at once. */
const connectionsMaxDefault = 20_000;
/** Milliseconds that open requests have to end after SIGTERM: longer than the longest stream. */
const drainTimeoutMsDefault = 16 * 60_000;
/** Milliseconds between two looks at connections that exceed a time-out. */
const connectionsCheckMs = 2_000;

export type LifecycleLine =
  | { at: "started"; port: number }
  | { at: "draining" }
  | { at: "stopped"; openRequests: number }
  | { at: "handler_failed"; kind: "unexpected" };

interface CommonOptions {
  name: string;
  port: number;
  hostname: string;
  log(line: LifecycleLine): void;
  /** Bytes; a longer body is refused with 413. In raw mode the handler keeps this limit itself. */
  bodyBytesMax: number;
  headerBytesMax?: number;
  headersTimeoutMs?: number;
  requestTimeoutMs?: number;
  keepAliveTimeoutMs?: number;
  connectionsMax?: number;
  drainTimeoutMs?: number;
  /** Draining begins: no new requests will come. */
  onDrain?(): void;
  /** All requests have ended: close what the function opened. */
  onStop?(): Promise<void>;
  /** The text of `GET /_/metrics`, in Prometheus's format. */
  metrics?(): Promise<string>;
  /** Turns what a handler threw into an answer; without it, an OpenAI-style 500 that says nothing of the fault. */
  onError?(thrown: unknown): Response;
}

/** Exactly one of `handler` (web Request -> Response) and `nodeHandler` (raw node:http, for hot paths). */
export type ServeOptions = CommonOptions &
  (
    | { handler(request: Request): Promise<Response>; nodeHandler?: undefined }
    | { nodeHandler(request: IncomingMessage, response: ServerResponse): void; handler?: undefined }
  );

export interface RunningFunction {
  port: number;
  readonly draining: boolean;
  /** Does what SIGTERM does, without ending the process. Safe to call twice. */
  stop(): Promise<void>;
}

export async function serve(options: ServeOptions): Promise<RunningFunction> {
  const { log } = options;
  let draining = false;
  let openRequests = 0;
  let stopping: Promise<void> | undefined;
  let allEnded = () => {};

  const answer = options.nodeHandler ?? answerWith(options);
  const server = createServer(
    {
      maxHeaderSize: options.headerBytesMax ?? headerBytesMaxDefault,
      headersTimeout: options.headersTimeoutMs ?? headersTimeoutMsDefault,
      requestTimeout: options.requestTimeoutMs ?? requestTimeoutMsDefault,
      keepAliveTimeout: options.keepAliveTimeoutMs ?? keepAliveTimeoutMsDefault,
      connectionsCheckingInterval: connectionsCheckMs,
      noDelay: true,
    },
    (request, response) => {
      if (request.url?.startsWith("/_/")) {
        void answerRuntime(request, response);
        return;
      }
      openRequests += 1;
      response.once("close", () => {
        openRequests -= 1;
        if (draining && openRequests === 0) allEnded();
      });
      if (draining) response.setHeader("connection", "close");
      answer(request, response);
    },
  );
  server.maxConnections = options.connectionsMax ?? connectionsMaxDefault;

  /** Readiness is local: a database that is away must not take every function out of service. */
  async function answerRuntime(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split("?")[0];
    const known = path === "/_/health" || path === "/_/ready" || (path === "/_/metrics" && options.metrics);
    request.resume();
    if (!known || request.method !== "GET") response.writeHead(known ? 405 : 404);
    else if (path === "/_/ready" && draining) response.writeHead(503);
    else if (path === "/_/metrics") {
      try {
        const text = await options.metrics!();
        response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
        response.write(text);
      } catch {
        response.writeHead(500);
      }
    } else response.writeHead(200);
    response.end();
  }

  async function drain(): Promise<void> {
    draining = true;
    log({ at: "draining" });
    options.onDrain?.();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    if (openRequests > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, options.drainTimeoutMs ?? drainTimeoutMsDefault);
        allEnded = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const left = openRequests;
    server.closeAllConnections();
    await closed;
    await options.onStop?.();
    log({ at: "stopped", openRequests: left });
  }

  const port = await listen(server, options);
  log({ at: "started", port });
  return {
    port,
    get draining() {
      return draining;
    },
    stop: () => (stopping ??= drain()),
  };
}

/** Throws one sentence when the address cannot be had. */
function listen(server: Server, { port, hostname }: ServeOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new Error(`Cannot listen on ${hostname}:${port}: ${error.code ?? "unknown reason"}`));
    });
    server.listen(port, hostname, () => resolve((server.address() as AddressInfo).port));
  });
}
