/** Answers node:http's requests with a handler of web Requests and Responses, streaming in both directions. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { ServeOptions } from "./serve.ts";

class BodyTooLarge extends Error {}

/** Milliseconds that an unread body is thrown away for, so that the caller gets to read the answer. */
const unreadBodyMs = 2_000;

export function answerWith({ handler, bodyBytesMax, onError, log }: ServeOptions) {
  return function answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
    // The caller that left makes writes fail; "close" says so already.
    outgoing.on("error", () => {});
    const left = new AbortController();
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) left.abort();
    });
    void respond();

    async function respond(): Promise<void> {
      let response: Response;
      try {
        if (Number(incoming.headers["content-length"] ?? 0) > bodyBytesMax) throw new BodyTooLarge();
        response = await handler!(toRequest(incoming, bodyBytesMax, left.signal));
      } catch (thrown) {
        response = thrown instanceof BodyTooLarge ? tooLarge(bodyBytesMax) : failed(thrown);
      }
      await send(response, incoming, outgoing).catch(() => outgoing.destroy());
    }
  };

  function failed(thrown: unknown): Response {
    if (onError) return onError(thrown);
    log({ at: "handler_failed", kind: "unexpected" });
    return errorAnswer(500, "server_error", "internal_error", "Cannot answer this request: an unexpected fault on our side. Try again.");
  }
}

function toRequest(incoming: IncomingMessage, bodyBytesMax: number, signal: AbortSignal): Request {
  const headers = new Headers();
  const raw = incoming.rawHeaders;
  for (let index = 0; index < raw.length; index += 2) headers.append(raw[index]!, raw[index + 1]!);
  const method = incoming.method!;
  // Only path and query count: the name that a caller gave the host is not trusted for anything.
  const path = incoming.url!.startsWith("/") ? incoming.url! : "/";
  const hasBody = method !== "GET" && method !== "HEAD";
  return new Request(`http://function${path}`, {
    method,
    headers,
    signal,
    ...(hasBody ? { body: limited(incoming, bodyBytesMax), duplex: "half" } : {}),
  } as RequestInit);
}

/** The body as it comes, which errors once it exceeds its limit. */
function limited(incoming: IncomingMessage, bodyBytesMax: number): ReadableStream<Uint8Array> {
  let bytes = 0;
  const source = Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
  return source.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        if (bytes > bodyBytesMax) controller.error(new BodyTooLarge());
        else controller.enqueue(chunk);
      },
    }),
  );
}

/** Bytes go out as the response gives them; a caller that reads slowly slows the response's source. */
async function send(response: Response, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const headers: string[] = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  const unread = !incoming.complete;
  if (unread) headers.push("connection", "close");
  outgoing.writeHead(response.status, headers);
  if (!response.body) {
    finish(incoming, outgoing, unread);
    return;
  }
  const reader = response.body.getReader();
  outgoing.once("close", () => void reader.cancel().catch(() => {}));
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (outgoing.destroyed) return;
      if (!outgoing.write(read.value)) await drained(outgoing);
    }
  } catch {
    // The head is out: breaking off is the only way left to say that the body is not whole.
    outgoing.destroy();
    return;
  }
  finish(incoming, outgoing, unread);
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.once("drain", done);
    outgoing.once("close", done);
  });
}

/** A connection closed on a caller that still sends would reset before the answer was read. */
function finish(incoming: IncomingMessage, outgoing: ServerResponse, unread: boolean): void {
  if (!unread || incoming.complete) {
    outgoing.end();
    return;
  }
  const timer = setTimeout(() => outgoing.end(), unreadBodyMs);
  incoming.once("close", () => {
    clearTimeout(timer);
    outgoing.end();
  });
  incoming.resume();
}

function tooLarge(bodyBytesMax: number): Response {
  return errorAnswer(413, "invalid_request_error", "request_too_large", `Cannot take this body: the limit is ${bodyBytesMax} bytes`);
}

function errorAnswer(status: number, type: string, code: string, message: string): Response {
  return Response.json({ error: { message, type, param: null, code } }, { status });
}
