/** Sends a web Response over node:http, as its bytes come and no faster than the caller takes them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { clearImmediate, setImmediate } from "node:timers";
import { setImmediate as turn } from "node:timers/promises";

/** Milliseconds that an unread body is thrown away for, so that the caller gets to read the answer. */
const unreadBodyMs = 2_000;

/**
 * Settles when the answer is out, or when the caller left. Rejects when it is no answer, and when its source fails:
 * then the connection must be broken off, since an ending would say that the answer is whole.
 */
export async function send(response: Response, message: IncomingMessage, outgoing: ServerResponse, stallTimeoutMs: number): Promise<void> {
  const reader = response.body?.getReader();
  const headers: string[] = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  // The next request on this connection would start in the middle of this one's body.
  const unread = !(await isComplete(message));
  if (unread) headers.push("connection", "close");
  outgoing.writeHead(response.status, headers);
  if (reader && hasBody(message, response)) await pump(reader, outgoing, stallTimeoutMs);
  else await reader?.cancel();
  if (unread) await throwAway(message);
  else message.resume();
  outgoing.end();
}

/** A handler that does not look at the body can answer before the parser has seen the end of what it already has. */
async function isComplete(message: IncomingMessage): Promise<boolean> {
  if (!message.complete) await turn();
  return message.complete;
}

function hasBody({ method }: IncomingMessage, { status }: Response): boolean {
  return method !== "HEAD" && status !== 204 && status !== 304;
}

async function pump(reader: ReadableStreamDefaultReader<Uint8Array>, outgoing: ServerResponse, stallTimeoutMs: number): Promise<void> {
  const leave = () => void reader.cancel().catch(() => {});
  outgoing.once("close", leave);
  // A source that takes its time does not hold the head back; a ready one gets both into one packet.
  const early = setImmediate(() => outgoing.flushHeaders());
  try {
    let read = await reader.read();
    clearImmediate(early);
    while (!read.done && !outgoing.destroyed) {
      if (!outgoing.write(read.value)) await drained(outgoing, stallTimeoutMs);
      read = await reader.read();
    }
  } finally {
    clearImmediate(early);
    outgoing.off("close", leave);
    if (outgoing.destroyed) leave();
  }
}

/** Settles when the caller took what waits, or left; one that is too slow is taken to have left. */
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
