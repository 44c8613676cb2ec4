/** What a function tells the runtime, and the limits that hold when it says nothing. */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Bytes of a request's head: keys and a few headers fit, anything larger is an attack or a mistake. */
const headerBytesMaxDefault = 16 * 1024;
/** Milliseconds for a request's head: a slow sender is cut off before it holds a connection for long. */
const headersTimeoutMsDefault = 10_000;
/** Milliseconds for a whole request: 48 MiB over 10 Mbit/s take 40 s. */
const requestTimeoutMsDefault = 120_000;
/** Milliseconds that an idle connection stays open: longer than the ingress keeps its own, which closes first. */
const keepAliveTimeoutMsDefault = 75_000;
/** Milliseconds that a caller may take for one part of an answer: 64 KiB at 10 kbit/s take 52 s. */
const stallTimeoutMsDefault = 60_000;
/** Connections of one process; beyond it new ones are closed at once. */
const connectionsMaxDefault = 20_000;
/** Milliseconds that open requests have to end after SIGTERM: longer than the longest stream. */
const drainTimeoutMsDefault = 16 * 60_000;
/** Milliseconds of draining in which new requests are still served: callers hear a little late that this process leaves. */
const lateRequestsMsDefault = 10_000;
/** Milliseconds for `onStop`: a pool that does not close must not keep the process. */
const stopTimeoutMsDefault = 15_000;

export type LifecycleLine =
  | { at: "started"; port: number }
  | { at: "draining" }
  | { at: "stopped"; openRequests: number }
  | { at: "handler_failed"; kind: "unexpected" }
  | { at: "process_failed"; kind: "uncaught_exception" | "unhandled_rejection" };

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
  /** In raw mode the handler keeps this limit itself. */
  stallTimeoutMs?: number;
  connectionsMax?: number;
  drainTimeoutMs?: number;
  lateRequestsMs?: number;
  stopTimeoutMs?: number;
  /** Draining begins. */
  onDrain?(): void;
  /** All requests have ended: close what the function opened. */
  onStop?(): Promise<void>;
  /** The text of `GET /_/metrics`, in Prometheus's format. */
  metrics?(): Promise<string>;
  /** Turns what a handler threw into an answer; without it, an OpenAI-style 500 that says nothing of the fault. */
  onError?(thrown: unknown): Response;
}

type WebHandler = (request: Request) => Promise<Response>;
type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * A `handler` (web Request -> Response), a `nodeHandler` (raw node:http, for hot paths), or both: then paths that begin
 * with `handlerPath` are the handler's.
 */
export type ServeOptions = CommonOptions &
  (
    | { handler: WebHandler; nodeHandler?: undefined; handlerPath?: undefined }
    | { nodeHandler: NodeHandler; handler?: undefined; handlerPath?: undefined }
    | { nodeHandler: NodeHandler; handler: WebHandler; handlerPath: string }
  );

export function withDefaults(options: ServeOptions) {
  return {
    headerBytesMax: headerBytesMaxDefault,
    headersTimeoutMs: headersTimeoutMsDefault,
    requestTimeoutMs: requestTimeoutMsDefault,
    keepAliveTimeoutMs: keepAliveTimeoutMsDefault,
    stallTimeoutMs: stallTimeoutMsDefault,
    connectionsMax: connectionsMaxDefault,
    drainTimeoutMs: drainTimeoutMsDefault,
    lateRequestsMs: lateRequestsMsDefault,
    stopTimeoutMs: stopTimeoutMsDefault,
    ...options,
  };
}

export type Settings = ReturnType<typeof withDefaults>;
