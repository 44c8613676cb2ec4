/** One call to a backend: bytes out, bytes back as they come. Retried elsewhere only while nothing has come back. */
import type { Dispatcher } from "undici";
import type { Backend, Backends } from "./backends.ts";

/** Backends tried for one call. */
const triesMax = 3;

export interface ExchangeRequest {
  modelId: string;
  path: string;
  contentType: string;
  /** The body for this backend's type. */
  bodyFor(backend: Backend): Buffer;
}

/** Exactly one of `onEnd` and `onError` is called last, unless the call was aborted: then none is. */
export interface ExchangeEvents {
  onHead(status: number, contentType: string): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}

export interface Exchange {
  /** Ends the call: the backend sees its connection close. */
  abort(): void;
  pause(): void;
  resume(): void;
}

class Aborted extends Error {}

/** Throws `overloaded` when no backend is usable. */
export function startExchange(backends: Backends, request: ExchangeRequest, events: ExchangeEvents): Exchange {
  const tried = new Set<Backend>();
  let tries = 0;
  let controller: Dispatcher.DispatchController | undefined;
  let aborted = false;

  function attempt(backend: Backend): void {
    tried.add(backend);
    tries += 1;
    backend.inFlight += 1;
    let headCame = false;
    let over = false;
    const finish = () => {
      if (!over) backend.inFlight -= 1;
      over = true;
    };
    backend.pool.dispatch(
      {
        method: "POST",
        path: `${backend.pathPrefix}${request.path}`,
        headers: { "content-type": request.contentType, accept: "application/json, text/event-stream" },
        body: request.bodyFor(backend),
      },
      {
        onRequestStart(started) {
          controller = started;
          if (aborted) started.abort(new Aborted());
        },
        onResponseStart(_controller, status, headers) {
          if (aborted || status < 200) return;
          headCame = true;
          // 500 is what an engine says to a prompt that it fails on: that must not close it to everyone.
          backend.report(status <= 500);
          events.onHead(status, String(headers["content-type"] ?? ""));
        },
        onResponseData(_controller, chunk) {
          if (!aborted) events.onData(chunk);
        },
        onResponseEnd() {
          finish();
          if (!aborted) events.onEnd();
        },
        onResponseError(_controller, error) {
          finish();
          if (aborted) return;
          if (headCame) {
            events.onError(error);
            return;
          }
          backend.report(false);
          retry(backend, error);
        },
      },
    );
  }

  /**
   * A time-out is not retried: the engine may well be generating. Where there is no other backend, the same one is
   * tried once more, since a kept-alive connection can close just as it is used.
   */
  function retry(failed: Backend, error: Error): void {
    const next = error.name === "HeadersTimeoutError" || tries >= triesMax ? undefined : another();
    if (next) attempt(next);
    else if (tries === 1 && isSocketError(error)) attempt(failed);
    else events.onError(error);
  }

  function another(): Backend | undefined {
    try {
      return backends.choose(request.modelId, tried);
    } catch {
      return undefined;
    }
  }

  attempt(backends.choose(request.modelId));
  return {
    abort() {
      if (aborted) return;
      aborted = true;
      controller?.abort(new Aborted());
    },
    pause: () => controller?.pause(),
    resume: () => controller?.resume(),
  };
}

function isSocketError(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}
