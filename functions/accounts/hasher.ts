/** Argon2id in worker threads: few at a time, so that logins never take the machine from what else runs on it. */
import { Worker } from "node:worker_threads";
import { EpithreError } from "#shared/errors.ts";

/** Threads of one process. One hashes about 15 passwords a second; with more replicas there are more threads. */
const threadsDefault = 1;
/** Hashes that wait, 3 seconds' worth; beyond it callers get 503. */
const waitingMaxDefault = 40;
/** Milliseconds for one hash; a thread that needs longer hangs, and is replaced. */
const hashTimeoutMsDefault = 10_000;

export interface Argon2Parameters {
  memoryKib: number;
  passes: number;
  lanes: number;
}

export interface HashTask {
  /** UTF-8. */
  password: Uint8Array;
  salt: Uint8Array;
  parameters: Argon2Parameters;
  hashBytes: number;
}

export interface HashReply {
  hash: Uint8Array;
}

export interface Hasher {
  /** Throws `overloaded` when too many wait, and when the thread ended on it. */
  hash(task: HashTask): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface HasherOptions {
  threads?: number;
  waitingMax?: number;
  hashTimeoutMs?: number;
  /** The thread's program. */
  program?: URL;
}

interface Waiting {
  task: HashTask;
  resolve(hash: Uint8Array): void;
  reject(error: Error): void;
}

interface Thread {
  worker?: Worker;
  current?: Waiting;
  timer?: NodeJS.Timeout;
}

export function createHasher({
  threads: count = threadsDefault,
  waitingMax = waitingMaxDefault,
  hashTimeoutMs = hashTimeoutMsDefault,
  program = new URL("./hasher-worker.ts", import.meta.url),
}: HasherOptions = {}): Hasher {
  const threads: Thread[] = Array.from({ length: count }, () => ({}));
  const waiting: Waiting[] = [];

  function start(thread: Thread): Worker {
    // Its output goes nowhere: a fault in there would print what no log may have.
    const worker = new Worker(program, { stdout: true, stderr: true });
    worker.on("message", ({ hash }: HashReply) => {
      const { current } = thread;
      become(thread, undefined);
      current?.resolve(hash);
      next();
    });
    const ended = () => {
      if (thread.worker !== worker) return;
      thread.worker = undefined;
      const { current } = thread;
      become(thread, undefined);
      current?.reject(overloaded());
      next();
    };
    worker.on("error", ended);
    worker.on("exit", ended);
    return worker;
  }

  function become(thread: Thread, current: Waiting | undefined): void {
    clearTimeout(thread.timer);
    thread.current = current;
    // An idle thread keeps no process alive.
    if (current === undefined) return void thread.worker?.unref();
    thread.worker!.ref();
    thread.timer = setTimeout(() => void thread.worker?.terminate(), hashTimeoutMs);
    thread.worker!.postMessage(current.task);
  }

  function next(): void {
    for (const thread of threads) {
      if (thread.current || waiting.length === 0) continue;
      thread.worker ??= start(thread);
      become(thread, waiting.shift());
    }
  }

  return {
    hash(task) {
      if (waiting.length >= waitingMax) return Promise.reject(overloaded());
      return new Promise((resolve, reject) => {
        waiting.push({ task, resolve, reject });
        next();
      });
    },
    async close() {
      await Promise.all(threads.map(({ worker }) => worker?.terminate()));
    },
  };
}

const overloaded = () =>
  new EpithreError("overloaded", "Cannot check a password now: too many people log in at once. Try again.", { retryAfterS: 3 });
