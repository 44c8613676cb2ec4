/** The end of a function: what is open finishes, what waits idle is closed, and nothing is kept for ever. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { send } from "./answer.ts";
import { createBag } from "./bag.ts";
import type { Settings } from "./options.ts";
import { leaving } from "./refusals.ts";

export interface Drain {
  readonly begun: boolean;
  /** Counts a request as open, or answers it 503 when draining has gone on for too long. */
  admits(message: IncomingMessage, response: ServerResponse): boolean;
  /** Settles when everything has ended. Safe to call twice. */
  run(): Promise<void>;
}

/**
 * The port stays open until the last request has ended, so that `/_/health` and `/_/ready` are answered and a
 * request that was on its way is served: connection refused would be an error to somebody's user.
 */
export function createDrain(server: Server, settings: Settings): Drain {
  const { log, drainTimeoutMs, lateRequestsMs, stopTimeoutMs, stallTimeoutMs, onDrain, onStop } = settings;
  const open = createBag<ServerResponse>();
  let beganMs: number | undefined;
  let ended: Promise<void> | undefined;
  let noneOpen = () => {};

  function admits(message: IncomingMessage, response: ServerResponse): boolean {
    if (beganMs !== undefined) {
      response.setHeader("connection", "close");
      if (performance.now() - beganMs > lateRequestsMs) {
        void send(leaving(), message, response, stallTimeoutMs);
        return false;
      }
    }
    const takeOut = open.add(response);
    response.once("close", () => {
      takeOut();
      if (open.size === 0) noneOpen();
    });
    return true;
  }

  async function drain(): Promise<void> {
    beganMs = performance.now();
    log({ at: "draining" });
    onDrain?.();
    for (const response of open) if (!response.headersSent) response.setHeader("connection", "close");
    server.closeIdleConnections();
    if (open.size > 0) await within(drainTimeoutMs, new Promise<void>((resolve) => (noneOpen = resolve)));
    const openRequests = open.size;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
    if (onStop) await within(stopTimeoutMs, onStop());
    log({ at: "stopped", openRequests });
  }

  return {
    get begun() {
      return beganMs !== undefined;
    },
    admits,
    run: () => (ended ??= drain()),
  };
}

/** Settles with `done`, or after the time without it. */
async function within(timeMs: number, done: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeMs);
  });
  try {
    await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
