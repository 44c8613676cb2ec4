/** Serves one function over HTTP, as OpenFaaS calls it: on one port, with health, readiness and an orderly end. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createDrain } from "./drain.ts";
import { writeAsOne } from "./one-write.ts";
import { withDefaults, type LifecycleLine, type ServeOptions, type Settings } from "./options.ts";
import { answerOwnRoute, isOwnRoute } from "./own-routes.ts";
import { announcedBytes } from "./request.ts";
import { answerWith } from "./web.ts";

/** Milliseconds between two looks at connections that exceed a time-out. */
const connectionsCheckMs = 2_000;

export interface RunningFunction {
  port: number;
  readonly draining: boolean;
  /** Does what SIGTERM does, without ending the process. Safe to call twice. */
  stop(): Promise<void>;
  log(line: LifecycleLine): void;
}

export async function serve(options: ServeOptions): Promise<RunningFunction> {
  const settings = withDefaults(options);
  const { log } = settings;
  const answer = answerOf(settings);

  const server = createServer(
    {
      maxHeaderSize: settings.headerBytesMax,
      headersTimeout: settings.headersTimeoutMs,
      requestTimeout: settings.requestTimeoutMs,
      keepAliveTimeout: settings.keepAliveTimeoutMs,
      connectionsCheckingInterval: connectionsCheckMs,
      noDelay: true,
    },
    take,
  );
  server.maxConnections = settings.connectionsMax;
  server.on("connection", writeAsOne);
  const drain = createDrain(server, settings);
  const state = {
    get draining() {
      return drain.begun;
    },
    metrics: settings.metrics,
  };

  function take(message: IncomingMessage, response: ServerResponse): void {
    // A write that comes too late is one request's fault: it must not end the process.
    response.on("error", () => {});
    if (isOwnRoute(message)) void answerOwnRoute(message, response, state);
    else if (drain.admits(message, response)) {
      response.once("close", () => {
        if (response.statusCode === 500) log({ at: "handler_failed", kind: "unexpected" });
      });
      answer(message, response);
    }
  }

  // A body that announces itself as too large is not asked for.
  server.on("checkContinue", (message: IncomingMessage, response: ServerResponse) => {
    if (announcedBytes(message) <= settings.bodyBytesMax) response.writeContinue();
    take(message, response);
  });

  const port = await listen(server, options);
  log({ at: "started", port });
  return {
    port,
    get draining() {
      return drain.begun;
    },
    stop: drain.run,
    log,
  };
}

function answerOf(settings: Settings): NonNullable<ServeOptions["nodeHandler"]> {
  const { log, handler, nodeHandler, handlerPath } = settings;
  const web = handler && answerWith(handler, settings);
  const raw = nodeHandler && guarded(nodeHandler, log);
  if (!web || !raw) return (web ?? raw)!;
  return (message, response) => (message.url!.startsWith(handlerPath!) ? web : raw)(message, response);
}

/** What a raw handler throws ends its own request, not everybody's streams. */
function guarded(nodeHandler: NonNullable<ServeOptions["nodeHandler"]>, log: ServeOptions["log"]): typeof nodeHandler {
  return function answer(message, response) {
    try {
      nodeHandler(message, response);
    } catch {
      if (!response.headersSent) response.writeHead(500, { connection: "close" }).end();
      else {
        log({ at: "handler_failed", kind: "unexpected" });
        response.destroy();
      }
    }
  };
}

/** Throws one sentence when the address cannot be had. */
function listen(server: Server, { port, hostname }: ServeOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new Error(`Cannot listen on ${hostname}:${port}: ${reasons[error.code ?? ""] ?? error.code ?? "unknown reason"}`));
    });
    server.listen(port, hostname, () => resolve((server.address() as AddressInfo).port));
  });
}

const reasons: Record<string, string> = {
  EADDRINUSE: "another process has this port; end it, or choose another PORT",
  EACCES: "this user may not take this port; choose a PORT above 1023",
  EADDRNOTAVAIL: "this machine has no such address; choose another listen_address",
};
