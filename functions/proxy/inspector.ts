/** Inspects small bodies here and large ones in a worker thread, so that no body holds up the others' streams. */
import { Worker } from "node:worker_threads";
import { EpithreError, type ErrorDetail, type ErrorKind } from "#shared/errors.ts";
import { inspect, type Inspection } from "./inspection.ts";
import type { Endpoint } from "./routes.ts";

/** Bytes. Reading this much takes 2 ms, or 30 ms when it was made to be slow; a hand-over to a thread costs less. */
const inlineBytesMax = 256 * 1024;
/** Mebibytes of the thread's heap: 24 MiB of small objects take thirty times as much, and must not end the process. */
const resourceLimits = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32 };
/** Bodies that wait for the thread; beyond it callers get 503. */
const waitingMax = 32;

export type InspectorReply =
  | { id: number; bytes: ArrayBuffer; inspection: Inspection }
  | { id: number; error: { kind: ErrorKind; message: string; detail: ErrorDetail } };

export interface InspectorTask {
  id: number;
  endpoint: Endpoint;
  bytes: ArrayBuffer;
  contentType: string;
}

export interface Inspector {
  /** The bytes come back too: a large body is moved to the thread and back, never copied. */
  inspect(endpoint: Endpoint, bytes: Buffer, contentType: string): Promise<{ bytes: Buffer; inspection: Inspection }>;
  close(): Promise<void>;
}

export function createInspector(): Inspector {
  let worker: Worker | undefined;
  let lastId = 0;
  const waiting = new Map<number, { resolve(reply: InspectorReply): void; reject(error: Error): void }>();

  function start(): Worker {
    const started = new Worker(new URL("./inspector-worker.ts", import.meta.url), { resourceLimits });
    started.unref();
    started.on("message", (reply: InspectorReply) => {
      waiting.get(reply.id)?.resolve(reply);
      waiting.delete(reply.id);
      if (waiting.size === 0) started.unref();
    });
    started.on("error", () => {
      worker = undefined;
      // Tasks are done in order: the first is the one that it ended on, the others can be tried again.
      const [first, ...others] = waiting.values();
      first?.reject(new EpithreError("invalid_json", "Cannot read body: it is nested too deeply, or has too many parts, to read"));
      for (const { reject } of others) reject(overloaded());
      waiting.clear();
    });
    return started;
  }

  async function inspectInThread(endpoint: Endpoint, bytes: Buffer, contentType: string) {
    if (waiting.size >= waitingMax) throw overloaded();
    worker ??= start();
    worker.ref();
    const owned = ownBuffer(bytes);
    const task: InspectorTask = { id: (lastId += 1), endpoint, bytes: owned, contentType };
    const reply = await new Promise<InspectorReply>((resolve, reject) => {
      waiting.set(task.id, { resolve, reject });
      worker!.postMessage(task, [owned]);
    });
    if ("error" in reply) throw new EpithreError(reply.error.kind, reply.error.message, reply.error.detail);
    return { bytes: Buffer.from(reply.bytes), inspection: reply.inspection };
  }

  return {
    async inspect(endpoint, bytes, contentType) {
      if (bytes.length > inlineBytesMax) return inspectInThread(endpoint, bytes, contentType);
      return { bytes, inspection: inspect(endpoint, bytes, contentType) };
    },
    async close() {
      await worker?.terminate();
    },
  };
}

const overloaded = () =>
  new EpithreError("overloaded", "Cannot read this body now: too many large requests at once. Try again.", { retryAfterS: 1 });

/** The memory of `bytes` when nothing else shares it, else a copy: what is moved to a thread is gone here. */
function ownBuffer(bytes: Buffer): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes;
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && byteLength === buffer.byteLength) return buffer;
  return new Uint8Array(bytes).buffer;
}
