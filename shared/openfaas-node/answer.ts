/** Sends a web Response over node:http, as its bytes come and no faster than the caller takes them. */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Milliseconds that an unread body is thrown away for, so that the caller gets to read the answer. */
const unreadBodyMs = 2_000;

/**
 * Settles when the answer is out, or when the caller left. Rejects when the answer's own source fails: the
 * connection has then been broken off, since an ending would say that the answer is whole.
 */
export async function send(response: Response, message: IncomingMessage, outgoing: ServerResponse, stallTimeoutMs: number): Promise<void> {
  const reader = response.body?.getReader();
  const headers: string[] = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  // The next request on this connection would start in the middle of this one's body.
  const unread = !message.complete;
  if (unread) headers.push("connection", "close");
  outgoing.writeHead(response.status, headers);
  if (reader && hasBody(message, response)) await pump(reader, outgoing, stallTimeoutMs);
  else await reader?.cancel();
  if (unread) await throwAway(message);
  else message.resume();
  outgoing.end();
}

function hasBody({ method }: IncomingMessage, { status }: Response): boolean {
  return method !== "HEAD" && status !== 204 && status !== 304;
}

async function pump(reader: ReadableStreamDefaultReader<Uint8Array>, outgoing: ServerResponse, stallTimeoutMs: number): Promise<void> {
  const leave = () => void reader.cancel().catch(() => {});
  outgoing.once("close", leave);
  if (outgoing.destroyed) leave();
  try {
    for (let read = await reader.read(); !read.done && !outgoing.destroyed; read = await reader.read()) {
      if (!outgoing.write(read.value)) await drained(outgoing, stallTimeoutMs);
    }
  } catch (thrown) {
    outgoing.destroy();
    throw thrown;
  } finally {
    outgoing.off("close", leave);
  }
}

/** Settles when the caller took what waits, or left; one that takes nothing for too long is taken to have left. */
function drained(outgoing: ServerResponse, stallTimeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => outgoing.destroy(), stallTimeoutMs);
    const done = () => {
      clearTimeout(timer);
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.once("drain", done);
    outgoing.once("close", done);
  });
}

/** A connection closed on a caller that still sends would reset before the answer was read. */
function throwAway(message: IncomingMessage): Promise<void> {
  if (message.complete || message.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, unreadBodyMs);
    function done(): void {
      clearTimeout(timer);
      message.off("end", done);
      message.off("close", done);
      resolve();
    }
    message.once("end", done);
    message.once("close", done);
    message.resume();
  });
}
