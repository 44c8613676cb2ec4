/**
 * HTTP/1.1 calls to one function over kept connections, one call at a time on each. A call is written in the turn of
 * the event loop that makes it: undici would write it a turn later, behind all that is ready by then, and takes twice
 * the time for it. Only what our own functions answer is understood: every answer of theirs has a `content-length`.
 */
import { connect, type Socket } from "node:net";

/** Bytes of an answer's head. */
const headBytesMax = 16 * 1024;

export interface Answer {
  status: number;
  body: Buffer;
}

export interface KeptConnections {
  /** `headers` are lines, each with its end. Rejects without a whole answer in time: the outcome is then unknown. */
  post(path: string, headers: string, body: string, timeoutMs: number): Promise<Answer>;
  close(): void;
}

export interface KeptConnectionsOptions {
  /** Where the callee listens, without a path. */
  url: string;
  /** Calls beyond it wait for a connection. */
  connectionsMax: number;
  answerBytesMax: number;
}

interface Call {
  text: string;
  isRetry: boolean;
  isOver: boolean;
  connection: Connection | undefined;
  end(outcome: Answer | Error): void;
}

interface Connection {
  socket: Socket;
  call: Call | undefined;
  wasUsed: boolean;
  received: Buffer[];
  bytes: number;
  /** Of the answer, once its head is there. */
  wholeBytes: number;
}

export function createKeptConnections({ url, connectionsMax, answerBytesMax }: KeptConnectionsOptions): KeptConnections {
  const { protocol, host, hostname, port } = new URL(url);
  if (protocol !== "http:") throw new RangeError("Cannot call functions: their URLs begin with http://");
  const address = { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port || 80), noDelay: true, keepAlive: true };
  const idle: Connection[] = [];
  let waiting: Call[] = [];
  let open = 0;
  let closed = false;

  function start(call: Call): void {
    const kept = call.isRetry ? undefined : idle.pop();
    if (!kept && open >= connectionsMax) {
      waiting.push(call);
      return;
    }
    const connection = kept ?? connected();
    connection.call = call;
    call.connection = connection;
    connection.socket.ref();
    connection.socket.write(call.text);
  }

  function startWaiting(): void {
    const next = waiting.shift();
    if (next) start(next);
  }

  function connected(): Connection {
    open += 1;
    const socket = connect(address);
    const connection: Connection = { socket, call: undefined, wasUsed: false, received: [], bytes: 0, wholeBytes: 0 };
    socket.on("data", (chunk: Buffer) => receive(connection, chunk));
    socket.on("error", () => {});
    socket.on("close", () => dropped(connection));
    return connection;
  }

  function receive(connection: Connection, chunk: Buffer): void {
    connection.received.push(chunk);
    connection.bytes += chunk.length;
    if (connection.bytes < connection.wholeBytes) return;
    const bytes = connection.received.length === 1 ? chunk : Buffer.concat(connection.received);
    const head = connection.call && readHead(bytes);
    if (head === "incomplete") return;
    // Bytes that belong to no call, or are no answer of ours.
    if (!head || head.wholeBytes > answerBytesMax || bytes.length > head.wholeBytes) connection.socket.destroy();
    else if (bytes.length < head.wholeBytes) connection.wholeBytes = head.wholeBytes;
    else answered(connection, { status: head.status, body: bytes.subarray(head.bytes) }, head.keeps);
  }

  function answered(connection: Connection, answer: Answer, keeps: boolean): void {
    const call = connection.call!;
    Object.assign(connection, { call: undefined, wasUsed: true, received: [], bytes: 0, wholeBytes: 0 });
    if (keeps && !closed) {
      connection.socket.unref();
      idle.push(connection);
      startWaiting();
    } else connection.socket.destroy();
    call.end(answer);
  }

  function dropped(connection: Connection): void {
    open -= 1;
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
    const { call, wasUsed, bytes } = connection;
    if (call && !call.isOver) {
      // A kept connection can close just as it is used. Every internal route is idempotent.
      const retries = wasUsed && bytes === 0 && !call.isRetry;
      call.isRetry = true;
      if (retries) start(call);
      else call.end(new Error("no answer"));
    }
    startWaiting();
  }

  return {
    post(path, headers, body, timeoutMs) {
      const length = Buffer.byteLength(body);
      const text = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${length}\r\n${headers}\r\n${body}`;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting = waiting.filter((other) => other !== call);
          call.end(new Error("no answer in time"));
          call.connection?.socket.destroy();
        }, timeoutMs);
        const call: Call = {
          text,
          isRetry: false,
          isOver: false,
          connection: undefined,
          end(outcome) {
            if (call.isOver) return;
            call.isOver = true;
            clearTimeout(timer);
            if (outcome instanceof Error) reject(outcome);
            else resolve(outcome);
          },
        };
        start(call);
      });
    },
    close() {
      closed = true;
      for (const { socket } of idle) socket.destroy();
    },
  };
}

interface Head {
  status: number;
  /** Bytes of the head, and of head and body. */
  bytes: number;
  wholeBytes: number;
  keeps: boolean;
}

/** `undefined` when it is no head of ours. */
function readHead(answer: Buffer): Head | "incomplete" | undefined {
  const end = answer.indexOf("\r\n\r\n");
  if (end < 0) return answer.length > headBytesMax ? undefined : "incomplete";
  const text = answer.toString("latin1", 0, end);
  const length = /\r\ncontent-length:[ \t]*(\d{1,15})(?:\r\n|$)/i.exec(text)?.[1];
  if (!text.startsWith("HTTP/1.1 ") || length === undefined) return undefined;
  const bytes = end + 4;
  return { status: Number(text.slice(9, 12)), bytes, wholeBytes: bytes + Number(length), keeps: !/\r\nconnection:[ \t]*close/i.test(text) };
}
