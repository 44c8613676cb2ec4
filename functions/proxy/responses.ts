/** Answers on the public routes, by raw node:http: this is the hot path. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorBody, errorHeaders, publicError } from "#shared/errors.ts";
import { bodyBytesMax } from "./body.ts";

/** Milliseconds and bytes that an unread body is drained for, so that the caller gets to read the error. */
const drainMsMax = 2_000;
const drainBytesMax = 2 * bodyBytesMax;

/** Bytes of a body that is cheaper to copy behind its head than to hand over beside it. */
const oneWriteBytesMax = 16 * 1024;

const commonHeaders = ["cache-control", "no-store", "x-content-type-options", "nosniff"];

/** Callers in browsers use their own key, so any origin may; no cookie exists that could be sent along. */
const corsHeaders = [
  "access-control-allow-origin",
  "*",
  "access-control-expose-headers",
  [
    "x-request-id",
    "retry-after",
    ...["limit", "remaining", "reset"].flatMap((name) => [`x-ratelimit-${name}-requests`, `x-ratelimit-${name}-tokens`]),
    "x-epithre-ignored-fields",
    "deprecation",
    "sunset",
    "x-epithre-clamped-max-tokens",
    "x-should-retry",
    "x-epithre-original-request-id",
    "x-epithre-original-cost-micro-rupiah",
  ].join(", "),
];

export type FlatHeaders = string[];

export function writeHead(response: ServerResponse, status: number, requestId: string, headers: FlatHeaders): void {
  const cors = response.req.headers.origin === undefined ? [] : corsHeaders;
  response.writeHead(status, ["x-request-id", requestId, ...commonHeaders, ...cors, ...headers]);
}

export function sendJson(response: ServerResponse, requestId: string, body: Buffer | string, headers: FlatHeaders = []): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  writeHead(response, 200, requestId, [
    "content-type",
    "application/json",
    "content-length",
    String(bytes.length),
    ...headers,
  ]);
  // As Latin-1, each byte one character, node puts head and body into one write instead of a list of two.
  if (bytes.length <= oneWriteBytesMax) response.end(bytes.toString("latin1"), "latin1");
  else response.end(bytes);
}

/** Answers the error of a request whose answer has not begun; does nothing when the caller has left. */
export function sendError(request: IncomingMessage, response: ServerResponse, requestId: string, thrown: unknown, headers: FlatHeaders = []): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const error = publicError(thrown);
  const body = errorBody(error);
  const unread = !request.complete;
  writeHead(response, error.status, requestId, [
    ...Object.entries({ ...headerObject(headers), ...errorHeaders(error) }).flat(),
    "content-length",
    String(Buffer.byteLength(body)),
    ...(unread ? ["connection", "close"] : []),
  ]);
  if (!unread) {
    response.end(body);
    return;
  }
  response.write(body);
  drain(request, () => response.end());
}

function headerObject(flat: FlatHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index < flat.length; index += 2) headers[flat[index]!] = flat[index + 1]!;
  return headers;
}

/** A connection closed on a caller who still sends would reset before the error was read. */
function drain(request: IncomingMessage, then: () => void): void {
  let bytes = 0;
  const timer = setTimeout(finish, drainMsMax);
  function finish(): void {
    clearTimeout(timer);
    request.off("data", count);
    then();
  }
  function count(chunk: Buffer): void {
    bytes += chunk.length;
    if (bytes > drainBytesMax) request.destroy();
  }
  request.on("data", count);
  request.once("end", finish);
  request.once("close", finish);
  request.resume();
}

export function sendPreflight(response: ServerResponse, requestId: string): void {
  writeHead(response, 204, requestId, [
    "access-control-allow-methods",
    "GET, POST, OPTIONS",
    "access-control-allow-headers",
    "authorization, content-type, openai-organization, openai-project, openai-beta, x-stainless-arch, x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout, x-stainless-helper-method, x-stainless-async, idempotency-key, x-epithre-clamp",
    "access-control-max-age",
    "86400",
  ]);
  response.end();
}
