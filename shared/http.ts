/**
 * Calls between functions: JSON over POST, signed per edge of `flow.ts`. The signature covers method, path,
 * body digest, nonce and time, so that a call can be neither forged, altered nor replayed; `/function/*` has no
 * authentication of its own.
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { EpithreError, errorBody, errorHeaders, errorResponse, publicError } from "./errors.ts";
import type { FunctionName } from "./flow.ts";
import { createKeptConnections } from "./kept-connections.ts";

export const signatureHeader = "x-epithre-signature";

/** Milliseconds that caller and callee may differ by: NTP keeps servers within a fraction of it. */
const signatureAgeMsMax = 30_000;

/** Nonces remembered at once; more calls than this within the signature's age are refused, not forgotten. */
const noncesMax = 1_000_000;

/** Bytes. The largest internal call is a batch of 512 settlements of about 600 bytes, or 1,000 reports on leases. */
const internalBodyBytesMax = 1024 * 1024;

/** Bytes. An internal answer is a batch of verdicts, settlements or prices. */
const internalAnswerBytesMax = 16 * 1024 * 1024;

/** Connections from one process to one function; calls are batched, so few are busy at once. */
const internalConnectionsMax = 8;

interface Signed {
  from: FunctionName;
  to: FunctionName;
  path: string;
  body: string | Uint8Array;
  nonce: string;
  timeMs: number;
}

function signatureOf(edgeSecret: string, { from, to, path, body, nonce, timeMs }: Signed): Buffer {
  const digest = hash("sha256", body, "base64url");
  return createHmac("sha256", edgeSecret)
    .update(`POST\n${path}\n${digest}\n${nonce}\n${timeMs}\n${from}>${to}`)
    .digest();
}

/** The value of the signature header for one call: `v1 <caller> <milliseconds> <nonce> <mac>`. */
export function sign(edgeSecret: string, call: Omit<Signed, "nonce" | "timeMs">): string {
  const nonce = randomBytes(16).toString("base64url");
  const timeMs = Date.now();
  const mac = signatureOf(edgeSecret, { ...call, nonce, timeMs }).toString("base64url");
  return `v1 ${call.from} ${timeMs} ${nonce} ${mac}`;
}

const refusal = () => new EpithreError("invalid_signature", "Cannot accept internal call: signature missing or wrong");

export type EdgeSecrets = Partial<Record<FunctionName, string>>;

/** Checks signatures of the edges that end at `to`. Throws `invalid_signature` without saying which part failed. */
export function createVerifier(to: FunctionName, secrets: EdgeSecrets) {
  const seen = new Map<string, number>();

  function forgetOld(nowMs: number): void {
    for (const [nonce, timeMs] of seen) {
      if (timeMs >= nowMs - 2 * signatureAgeMsMax) return;
      seen.delete(nonce);
    }
  }

  return function verify(header: string | null, path: string, body: Uint8Array): FunctionName {
    const [version, from, time, nonce, mac, extra] = (header ?? "").split(" ");
    const edgeSecret = Object.hasOwn(secrets, from ?? "") ? secrets[from as FunctionName] : undefined;
    if (version !== "v1" || !edgeSecret || !nonce || nonce.length > 64 || !mac || extra !== undefined) throw refusal();
    const timeMs = Number(time);
    const nowMs = Date.now();
    if (!Number.isSafeInteger(timeMs) || Math.abs(nowMs - timeMs) > signatureAgeMsMax) throw refusal();
    const expected = signatureOf(edgeSecret, { from: from as FunctionName, to, path, body, nonce, timeMs });
    const given = Buffer.from(mac, "base64url");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw refusal();
    const seenAtMs = performance.now();
    forgetOld(seenAtMs);
    if (seen.has(nonce) || seen.size >= noncesMax) throw refusal();
    seen.set(nonce, seenAtMs);
    return from as FunctionName;
  };
}

export interface Route<Input extends z.ZodType, Output> {
  input: Input;
  /** The only function that may call it; where it is left out, all that have an edge to this function. */
  from?: FunctionName;
  answer(input: z.output<Input>, from: FunctionName): Promise<Output>;
}

/** Keeps the types of input and answer together where routes are listed. */
export function route<Input extends z.ZodType, Output>(definition: Route<Input, Output>): Route<Input, Output> {
  return definition;
}

/** Answers internal calls: as a web handler, and by raw node:http, which costs a fifth of the time for a small batch. */
export interface InternalHandler {
  (request: Request): Promise<Response>;
  node(request: IncomingMessage, response: ServerResponse): void;
}

/** The handler of a function's internal routes: verifies, parses strictly (a stray field is refused), answers JSON. */
export function createInternalHandler(
  to: FunctionName,
  secrets: EdgeSecrets,
  routes: Record<string, Route<z.ZodType, unknown>>,
): InternalHandler {
  const verify = createVerifier(to, secrets);

  async function answer(method: string, path: string, signature: string | null, body: Uint8Array): Promise<string> {
    const found = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (!found) throw new EpithreError("unknown_url", "Cannot find this route: see the function's README for the ones it has");
    if (method !== "POST") throw new EpithreError("method_not_allowed", "Cannot answer: this route takes POST");
    const from = verify(signature, path, body);
    if (found.from !== undefined && found.from !== from) throw refusal();
    const parsed = found.input.safeParse(parseJson(body));
    if (!parsed.success) throw new EpithreError("invalid_request", "Cannot accept internal call: its body has another shape");
    return JSON.stringify(await found.answer(parsed.data, from));
  }

  const handler = async function internal(request: Request): Promise<Response> {
    try {
      const body = new Uint8Array(await request.arrayBuffer());
      const { pathname } = new URL(request.url);
      const text = await answer(request.method, pathname, request.headers.get(signatureHeader), body);
      return new Response(text, { headers: { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) } });
    } catch (thrown) {
      return errorResponse(thrown);
    }
  } as InternalHandler;

  handler.node = async function internalNode(request, response) {
    response.on("error", () => {});
    try {
      const body = await readInternalBody(request);
      const signature = request.headers[signatureHeader];
      const text = await answer(request.method!, request.url!, typeof signature === "string" ? signature : null, body);
      response.writeHead(200, ["content-type", "application/json", "content-length", String(Buffer.byteLength(text))]);
      response.end(text);
    } catch (thrown) {
      const error = publicError(thrown);
      // What is left of an unread body must not be taken for the next request.
      const close = request.complete ? {} : { connection: "close" };
      const text = errorBody(error);
      response.writeHead(error.status, { ...errorHeaders(error), ...close, "content-length": Buffer.byteLength(text) }).end(text);
      request.resume();
    }
  };
  return handler;
}

/** Throws `body_too_large`, or `invalid_request` when the caller leaves before the end. */
function readInternalBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > internalBodyBytesMax) reject(new EpithreError("body_too_large", "Cannot take this body: too large for an internal call"));
      else chunks.push(chunk);
    });
    request.once("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.once("aborted", () => reject(new EpithreError("invalid_request", "Cannot read body: the caller left")));
  });
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: not JSON");
  }
}

export interface InternalClient {
  /**
   * Posts `body` and answers the parsed JSON, checked against `output`. Throws `unavailable` when the callee does
   * not answer 200 in time: the outcome is then unknown, so every internal route is idempotent.
   */
  post<Output extends z.ZodType>(path: string, body: unknown, output: Output, timeoutMs: number): Promise<z.output<Output>>;
  close(): Promise<void>;
}

export interface InternalClientOptions {
  from: FunctionName;
  to: FunctionName;
  /** Where the callee listens, without a path: `http://billing.openfaas-fn:8080`. */
  url: string;
  edgeSecret: string;
}

export function createInternalClient({ from, to, url, edgeSecret }: InternalClientOptions): InternalClient {
  const connections = createKeptConnections({ url, connectionsMax: internalConnectionsMax, answerBytesMax: internalAnswerBytesMax });
  const unavailable = () => new EpithreError("unavailable", `Cannot reach ${to}: no answer`, { retryAfterS: 1 });

  return {
    async post(path, body, output, timeoutMs) {
      const text = JSON.stringify(body);
      const signature = sign(edgeSecret, { from, to, path, body: text });
      const headers = `content-type: application/json\r\n${signatureHeader}: ${signature}\r\n`;
      const answer = await connections.post(path, headers, text, timeoutMs).catch(() => {
        throw unavailable();
      });
      if (answer.status !== 200) throw unavailable();
      return output.parse(readAnswer(answer.body, unavailable));
    },
    async close() {
      connections.close();
    },
  };
}

function readAnswer(body: Buffer, unavailable: () => EpithreError): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw unavailable();
  }
}
