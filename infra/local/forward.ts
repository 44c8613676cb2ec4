/**
 * Passes one request on to a function and its answer back. Built on node:http and undici: http-proxy-3 takes half
 * as much CPU again, and leaves the caller hanging when a function dies in the middle of an answer
 * (infra/decisions/0004-local-gateway.md).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import type { Dispatcher, Pool } from "undici";
import { EpithreError, errorBody, errorHeaders } from "#shared/errors.ts";

export interface Forwarding {
  pool: Pool;
  /** Path and query for the function. */
  target: string;
  /** Requests of the public: internal headers are taken off, the caller's address is told by us alone. */
  isPublic: boolean;
  /** Pass each piece on as it comes; otherwise in 4 KiB steps, as Go's server behind OpenFaaS's gateway does. */
  streams: boolean;
}

/** Bytes. Go's net/http collects this much of an answer before it sends any (`bufio` of its connections). */
const goBufferBytes = 4096;

/** Bytes. Bodies up to this are collected and sent in one write: twice as fast as piping, and cheap to hold. */
const collectedBodyBytesMax = 64 * 1024;

/** Milliseconds that the rest of a body is thrown away for, when the function answered without it. */
const unreadBodyMs = 2_000;

/** RFC 9110, section 7.6.1, and `expect`, which Node has answered already; `host` is told as x-forwarded-host. */
const hopByHop = new Set([
  "connection", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
  "trailer", "transfer-encoding", "upgrade",
]);

/** What only our own parts may say; `/function/*` keeps them, for internal calls are signed. */
function isInternal(name: string): boolean {
  return name === "forwarded" || name === "x-real-ip" || name.startsWith("x-epithre-") || name.startsWith("x-forwarded-");
}

/** Counted for a caller that left before its answer began; the number that nginx made usual. */
const callerLeftStatus = 499;

/** Settles with the status that the caller got, once the exchange is over. Never throws. */
export function forward(request: IncomingMessage, response: ServerResponse, forwarding: Forwarding): Promise<number> {
  const body = bodyOf(request);
  return new Promise((settle) => {
    let abort: (() => void) | undefined;
    response.once("close", () => {
      if (!response.writableFinished) abort?.();
      settle(response.headersSent ? response.statusCode : callerLeftStatus);
    });
    void body.then((content) => {
      if (response.destroyed) return;
      const call: Dispatcher.DispatchOptions = {
        method: request.method as Dispatcher.HttpMethod,
        path: forwarding.target,
        headers: requestHeaders(request, forwarding),
        body: content,
      };
      forwarding.pool.dispatch(call, relay(request, response, forwarding.streams, (end) => (abort = end)));
    });
  });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | PassThrough | null> {
  const length = request.headers["content-length"];
  if (length === undefined && request.headers["transfer-encoding"] === undefined) return null;
  // Not the request itself: undici destroys a body that the function does not take, and the answer with it.
  if (length === undefined || Number(length) > collectedBodyBytesMax) return request.pipe(new PassThrough());
  return new Promise((settle) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.once("end", () => settle(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)));
  });
}

function requestHeaders(request: IncomingMessage, { isPublic, streams }: Forwarding): string[] {
  const named = (request.headers.connection ?? "").toLowerCase().split(",").map((name) => name.trim());
  const headers: string[] = [];
  const raw = request.rawHeaders;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (hopByHop.has(name) || named.includes(name)) continue;
    if (isPublic && (isInternal(name) || (streams && name === "accept"))) continue;
    headers.push(name, raw[at + 1]!);
  }
  if (isPublic) {
    headers.push("x-forwarded-for", request.socket.remoteAddress ?? "", "x-forwarded-proto", "http");
    headers.push("x-forwarded-host", request.headers.host ?? "");
    if (streams) headers.push("accept", "text/event-stream");
  }
  return headers;
}

function relay(
  request: IncomingMessage,
  response: ServerResponse,
  streams: boolean,
  onStart: (abort: () => void) => void,
): Dispatcher.DispatchHandler {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let bodyBegun = false;

  return {
    onRequestStart(controller) {
      const abort = () => controller.abort(new Error("the caller left"));
      if (response.destroyed) abort();
      onStart(abort);
      response.on("drain", () => controller.resume());
    },
    onResponseStart(_controller, status, headers) {
      if (status < 200) return;
      for (const name of Object.keys(headers)) {
        if (!hopByHop.has(name)) response.setHeader(name, headers[name]!);
      }
      if (!request.complete) response.setHeader("connection", "close");
      response.writeHead(status);
      // The head alone goes out when the function sent it alone; with the body in one packet otherwise.
      if (streams) setImmediate(() => bodyBegun || response.flushHeaders());
    },
    onResponseData(controller, piece) {
      bodyBegun = true;
      if (!streams) {
        held.push(piece);
        heldBytes += piece.length;
        if (heldBytes < goBufferBytes) return;
        piece = Buffer.concat(held);
        held = [];
        heldBytes = 0;
      }
      if (!response.write(piece)) controller.pause();
    },
    onResponseEnd() {
      bodyBegun = true;
      finish(request, response, Buffer.concat(held));
    },
    onResponseError() {
      bodyBegun = true;
      if (response.headersSent || response.destroyed) response.destroy();
      else refuse(response, new EpithreError("unavailable", "Cannot reach the function: it does not run or ended early. Try again.", { retryAfterS: 1 }));
    },
  };
}

/** A connection closed on a caller that still sends would reset before the answer was read. */
function finish(request: IncomingMessage, response: ServerResponse, rest: Buffer): void {
  if (request.complete) return void response.end(rest);
  response.write(rest);
  const overdue = setTimeout(() => response.end(), unreadBodyMs);
  request.once("close", () => (clearTimeout(overdue), response.end()));
  request.unpipe();
  request.resume();
}

/** Answers with OpenAI's error object. */
export function refuse(response: ServerResponse, error: EpithreError): void {
  const body = errorBody(error);
  response.writeHead(error.status, { ...errorHeaders(error), "content-length": Buffer.byteLength(body) });
  response.end(body);
}
