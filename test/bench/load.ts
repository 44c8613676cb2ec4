/**
 * A closed-loop load generator over raw sockets: it must cost little, since it shares the machine with what it
 * measures. Reads one task from its arguments as JSON, prints one result as JSON.
 */
import { connect } from "node:net";

export interface LoadTask {
  port: number;
  path: string;
  headers: Record<string, string>;
  body: string;
  connections: number;
  /** Milliseconds of load that are not counted, then that are. */
  warmupMs: number;
  durationMs: number;
}

export interface LoadResult {
  requests: number;
  /** Requests that ended with a status other than 200, or broke off; over the whole run. */
  failed: number;
  /** Requests that ended with 200 over the whole run, warm-up and tail included. */
  succeeded: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** To the first byte of the answer's body. */
  firstByteP50Ms: number;
}

const headEnd = Buffer.from("\r\n\r\n");
const chunkedEnd = Buffer.from("0\r\n\r\n");

function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function requestBytes(task: LoadTask): Buffer {
  const headers = Object.entries({
    host: `127.0.0.1:${task.port}`,
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(task.body)),
    ...task.headers,
  });
  return Buffer.from(`POST ${task.path} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${task.body}`);
}

export async function runLoad(task: LoadTask): Promise<LoadResult> {
  const bytes = requestBytes(task);
  const startMs = performance.now();
  const countFromMs = startMs + task.warmupMs;
  const stopMs = countFromMs + task.durationMs;
  const latencies: number[] = [];
  const firstBytes: number[] = [];
  let succeeded = 0;
  let failed = 0;

  function oneConnection(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(task.port, "127.0.0.1");
      socket.setNoDelay(true);
      let sentMs = 0;
      let head: Buffer | undefined;
      let status = 0;
      let bodyLength = -1;
      let bodyBytes = 0;
      let firstMs = 0;

      function send(): void {
        if (performance.now() >= stopMs) {
          socket.destroy();
          resolve();
          return;
        }
        head = undefined;
        bodyBytes = 0;
        firstMs = 0;
        sentMs = performance.now();
        socket.write(bytes);
      }

      function finish(): void {
        const nowMs = performance.now();
        if (status === 200) succeeded += 1;
        else failed += 1;
        if (nowMs >= countFromMs && nowMs < stopMs && status === 200) {
          latencies.push(nowMs - sentMs);
          firstBytes.push(firstMs - sentMs);
        }
        send();
      }

      function onBody(chunk: Buffer): void {
        if (chunk.length === 0) return;
        if (firstMs === 0) firstMs = performance.now();
        bodyBytes += chunk.length;
        const ended = bodyLength >= 0 ? bodyBytes >= bodyLength : chunk.subarray(-chunkedEnd.length).equals(chunkedEnd);
        if (ended) finish();
      }

      socket.on("data", (chunk: Buffer) => {
        if (head) {
          onBody(chunk);
          return;
        }
        // A head is a few hundred bytes and written at once: on loopback it comes in one piece.
        const end = chunk.indexOf(headEnd);
        head = chunk.subarray(0, end);
        const text = head.toString("latin1");
        status = Number(text.slice(9, 12));
        const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
        bodyLength = length === undefined ? -1 : Number(length);
        onBody(chunk.subarray(end + headEnd.length));
      });
      socket.on("error", () => {
        failed += 1;
        resolve();
      });
      socket.on("connect", send);
    });
  }

  await Promise.all(Array.from({ length: task.connections }, oneConnection));
  const sorted = Float64Array.from(latencies).sort();
  const sortedFirst = Float64Array.from(firstBytes).sort();
  return {
    requests: sorted.length,
    failed,
    succeeded,
    perSecond: sorted.length / (task.durationMs / 1_000),
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    firstByteP50Ms: percentile(sortedFirst, 0.5),
  };
}

if (import.meta.main) {
  console.log(JSON.stringify(await runLoad(JSON.parse(process.argv[2]!) as LoadTask)));
}
