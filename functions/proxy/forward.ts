/**
 * One admitted call from backend to caller: relayed, metered, settled, and cut short in the cases that the stated rules
 * name (design: who pays for what).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { EpithreError } from "#shared/errors.ts";
import { backendAnswerError, backendFailed, connectionError, timedOut } from "./backend-errors.ts";
import type { Backend, Backends } from "./backends.ts";
import { noUsage, type Call, type Usage } from "./call.ts";
import { startExchange, type Exchange } from "./exchange.ts";
import { answerBytesMax, readAnswer } from "./relay-json.ts";
import { createStreamRelay, type StreamRelay, type UsageSource } from "./relay-stream.ts";
import { sendError, sendJson, writeHead, type FlatHeaders } from "./responses.ts";

/** Bytes of an engine's error that are read for their meaning. */
const errorBytesMax = 64 * 1024;
/** Milliseconds that a backend has to end its answer after `[DONE]`. */
const lingerMs = 1_000;
/** Not a status of HTTP: what logs of web servers call a caller that left (keep.usage: HTTP status). */
const statusCallerLeft = 499;

export interface ForwardDeps {
  backends: Backends;
  streamLimitMs: number;
  onUsageSource(source: UsageSource, backend: Backend): void;
}

export interface Forwarded {
  request: IncomingMessage;
  response: ServerResponse;
  requestId: string;
  call: Call;
  contentType: string;
  headers: FlatHeaders;
  bodyFor(backend: Backend): { bytes: Buffer; ignoredFields: number };
  /** Commits what the request used; resolves with the charge. `price` is the call's own, or the line of it that counts. */
  settle(usage: Usage, status: number, price?: Call["price"]): Promise<number>;
  /** No backend took the call: it had no effect, so nothing is recorded of it. */
  abandon(): void;
  /** Registers a way to end this call from outside (suspension); answers how to unregister it. */
  onCut(cut: (error: EpithreError) => void): () => void;
}

/** Resolves when the answer has ended, in whatever way. */
export function forward({ backends, streamLimitMs, onUsageSource }: ForwardDeps, forwarded: Forwarded): Promise<void> {
  const { request, response, requestId, call, headers } = forwarded;
  return new Promise((resolve) => {
    let over = false;
    let backend: Backend | undefined;
    let ignoredFields = 0;
    let relay: StreamRelay | undefined;
    let status = 0;
    const chunks: Buffer[] = [];
    let bytes = 0;
    let exchange: Exchange | undefined;
    let lingering: NodeJS.Timeout | undefined;

    const limit = setTimeout(() => broken(timedOut()), streamLimitMs);
    const offCut = forwarded.onCut((error) => broken(error));
    const onClose = () => {
      if (!over) left();
    };
    response.on("close", onClose);

    /** The first of all endings wins; what comes after it is too late. */
    function close(): boolean {
      if (over) return false;
      over = true;
      clearTimeout(limit);
      offCut();
      response.off("close", onClose);
      response.off("drain", onDrain);
      return true;
    }

    function onDrain(): void {
      exchange?.resume();
    }
    response.on("drain", onDrain);

    function answerHeaders(): FlatHeaders {
      return ignoredFields === 0 ? headers : [...headers, "x-epithre-ignored-fields", String(ignoredFields)];
    }

    /** The caller has gone: nobody waits, so the settlement goes its own way. */
    function left(): void {
      if (!close()) return;
      exchange?.abort();
      const usage = relay ? meter(relay.end(backendFailed())) : noUsage;
      forwarded.settle(usage, statusCallerLeft).catch(() => {});
      resolve();
    }

    /** The answer breaks off on our side or the backend's. */
    function broken(error: EpithreError): void {
      if (!close()) return;
      exchange?.abort();
      const usage = relay ? meter(relay.end(error)) : noUsage;
      const settled = forwarded.settle(usage, error.status).catch(() => {});
      if (!relay) {
        sendError(request, response, requestId, error, answerHeaders());
        resolve();
        return;
      }
      const failing = relay;
      void settled.then(() => {
        failing.fail(error);
        resolve();
      });
    }

    function meter({ usage, source }: { usage: Usage; source: UsageSource }): Usage {
      if (backend) onUsageSource(source, backend);
      return usage;
    }

    async function complete(): Promise<void> {
      if (relay) return completeStream(relay);
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      if (status !== 200) {
        broken(backendAnswerError(status, body, call.endpoint.name));
        return;
      }
      const answer = readAnswer(call, body);
      if (!answer) {
        meter({ usage: noUsage, source: "invalid" });
        broken(backendFailed());
        return;
      }
      if (!close()) return;
      try {
        const charged = await forwarded.settle(meter(answer), 200, answer.price);
        sendJson(response, requestId, answer.withCost(charged), answerHeaders());
      } catch (thrown) {
        sendError(request, response, requestId, thrown, answerHeaders());
      }
      resolve();
    }

    async function completeStream(ended: StreamRelay): Promise<void> {
      if (!close()) return;
      // An engine that goes on after [DONE] would hold its connection for ever.
      lingering = setTimeout(() => exchange?.abort(), lingerMs);
      try {
        ended.finish(await forwarded.settle(meter(ended.end(undefined)), 200));
      } catch (thrown) {
        ended.fail(thrown as EpithreError);
      }
      resolve();
    }

    function onHead(head: number, contentType: string): void {
      status = head;
      if (!call.inspection.stream || status !== 200) return;
      if (!contentType.startsWith("text/event-stream")) {
        broken(backendFailed());
        return;
      }
      writeHead(response, 200, requestId, ["content-type", "text/event-stream", "x-accel-buffering", "no", ...answerHeaders()]);
      relay = createStreamRelay(call, response);
      // Bytes that came with the head take it along; otherwise the caller should not wait for the first of them.
      setImmediate(() => {
        if (!over && bytes === 0) response.flushHeaders();
      });
    }

    function onData(chunk: Buffer): void {
      if (over) return;
      bytes += chunk.length;
      if (relay) {
        const state = relay.push(chunk);
        if (state === "complete") void completeStream(relay);
        else if (state === "failed") broken(backendFailed());
        else if (response.writableNeedDrain) exchange?.pause();
        return;
      }
      if (status !== 200 && bytes > errorBytesMax) {
        broken(backendAnswerError(status, Buffer.concat(chunks), call.endpoint.name));
        return;
      }
      if (bytes > answerBytesMax) {
        broken(backendFailed());
        return;
      }
      chunks.push(chunk);
    }

    function onEnd(): void {
      clearTimeout(lingering);
      if (over) return;
      // A stream that is complete has said so before: this one broke off.
      if (relay) broken(backendFailed());
      else void complete();
    }

    try {
      exchange = startExchange(
        backends,
        {
          modelId: call.model.id,
          path: pathOf[call.endpoint.name],
          contentType: forwarded.contentType,
          bodyFor(chosen) {
            backend = chosen;
            const body = forwarded.bodyFor(chosen);
            ignoredFields = body.ignoredFields;
            return body.bytes;
          },
        },
        { onHead, onData, onEnd, onError: (error) => broken(connectionError(error)) },
      );
    } catch (thrown) {
      close();
      forwarded.abandon();
      sendError(request, response, requestId, thrown, headers);
      resolve();
    }
  });
}

const pathOf = {
  "chat.completions": "/v1/chat/completions",
  completions: "/v1/completions",
  embeddings: "/v1/embeddings",
  "images.generations": "/v1/images/generations",
  "images.edits": "/v1/images/edits",
  "images.variations": "/v1/images/variations",
} as const;
