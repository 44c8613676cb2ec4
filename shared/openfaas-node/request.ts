/** node:http's request as a web Request, whose body is read only as fast as the handler asks for it. */
import type { IncomingMessage } from "node:http";

export interface Incoming {
  request: Request;
  /** Whether the body turned out longer than its limit. */
  readonly tooLarge: boolean;
}

export function announcedBytes({ headers }: IncomingMessage): number {
  return Number(headers["content-length"] ?? 0);
}

/** Throws a TypeError for a method or target that a web Request cannot have (TRACE, `*`). */
export function toRequest(message: IncomingMessage, bodyBytesMax: number, signal: AbortSignal): Incoming {
  const method = message.method!;
  const headers = new Headers();
  const raw = message.rawHeaders;
  for (let index = 0; index < raw.length; index += 2) headers.append(raw[index]!, raw[index + 1]!);
  const body = method === "GET" || method === "HEAD" ? undefined : limitedBody(message, bodyBytesMax);
  const request = new Request(urlOf(message.url!), { method, headers, signal, body: body?.stream, duplex: "half" } as RequestInit);
  return {
    request,
    get tooLarge() {
      return body?.tooLarge ?? false;
    },
  };
}

/** Only path and query count: the name that a caller gives the host is not trusted for anything. */
function urlOf(target: string): string {
  if (target.startsWith("/")) return `http://function${target}`;
  const { pathname, search } = new URL(target);
  return `http://function${pathname}${search}`;
}

/** Bytes come when the handler asks, chunk by chunk; beyond the limit the stream breaks off. */
function limitedBody(message: IncomingMessage, bytesMax: number) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let bytes = 0;
  let listening = false;
  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      pull() {
        if (!listening) listen();
        message.resume();
      },
      // The rest is thrown away once the answer is out.
      cancel: ignore,
    },
    { highWaterMark: 0 },
  );
  const body = { stream, tooLarge: false };

  function listen(): void {
    listening = true;
    message.on("data", take);
    message.on("end", end);
    message.on("close", leave);
    if (message.destroyed) leave();
  }

  function ignore(): void {
    message.pause();
    message.off("data", take);
    message.off("end", end);
    message.off("close", leave);
  }

  function take(chunk: Buffer): void {
    message.pause();
    bytes += chunk.length;
    if (bytes <= bytesMax) {
      controller.enqueue(chunk);
      return;
    }
    body.tooLarge = true;
    ignore();
    controller.error(new Error(`Cannot read body: it is longer than ${bytesMax} bytes`));
  }

  function end(): void {
    ignore();
    controller.close();
  }

  function leave(): void {
    ignore();
    controller.error(new Error("Cannot read body: the caller left before its end"));
  }

  return body;
}
