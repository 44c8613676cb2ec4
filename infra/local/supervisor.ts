/**
 * Keeps one process running: starts it, starts it again when it ended, ends it. Its output stays in memory. When
 * this process dies in whatever way, the ones it started end too.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createLogRing, eachLine, type LogRing } from "./log-ring.ts";

export interface ProcessDefinition {
  name: string;
  /** The program and its arguments. */
  command: [string, ...string[]];
  /** Its working directory: by it the next start finds what a killed stack left running. */
  folder: string;
  /** All of its environment; nothing of ours is added. */
  environment: Record<string, string>;
  isReady(): Promise<boolean>;
}

export interface SupervisedProcess {
  readonly name: string;
  /** Undefined between an end and the next start. */
  readonly pid: number | undefined;
  readonly isReady: boolean;
  readonly startedAtMs: number;
  readonly log: LogRing;
  /** Settles once it is ready; fails with one sentence when it ended before, or was not ready in time. */
  firstReady(): Promise<void>;
  stop(): Promise<void>;
}

/** Milliseconds before the first new start, doubling with each that follows, and the longest wait. */
const restartDelayMsMin = 100;
const restartDelayMsMax = 5_000;

/** Milliseconds that a process must have run for its next end to count as the first. */
const stableAfterMs = 10_000;

/** Milliseconds between two looks whether a process is ready. */
const readyIntervalMs = 25;

/** Milliseconds for the first start: ten processes at once on a small, busy machine. */
const readyTimeoutMs = 60_000;

/** Milliseconds between asking a process to end and ending it: a stream that still runs is cut then. */
export const stopTimeoutMs = 8_000;

/** Everything here starts as a function does in its image: without core files. */
const startScript = fileURLToPath(new URL("../../shared/openfaas-node/start.sh", import.meta.url));

/** Waits for the pipe that only our end closes, then ends the process; the pipe's other end dies with us. */
const endWithUs = 'read -r _; kill -TERM "$0"; sleep 3; kill -KILL "$0"';

export function supervise(definition: ProcessDefinition): SupervisedProcess {
  const log = createLogRing();
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  let isReady = false;
  let startedAtMs = Date.now();
  const first = Promise.withResolvers<void>();
  // Whoever never asks must not see it as unhandled.
  first.promise.catch(() => {});

  async function run(): Promise<void> {
    let delayMs = restartDelayMsMin;
    while (!stopping.signal.aborted) {
      startedAtMs = Date.now();
      const ran = performance.now();
      child = launch(definition, log);
      const ended = endOf(child);
      void becomesReady(ended).then((ready) => (isReady = ready && child !== undefined));
      await ended;
      child = undefined;
      isReady = false;
      first.reject(new Error(endedEarly(definition.name, log)));
      if (performance.now() - ran > stableAfterMs) delayMs = restartDelayMsMin;
      await delay(delayMs, undefined, { signal: stopping.signal }).catch(() => {});
      delayMs = Math.min(delayMs * 2, restartDelayMsMax);
    }
  }

  async function becomesReady(ended: Promise<void>): Promise<boolean> {
    let isOver = false;
    void ended.then(() => (isOver = true));
    const deadline = performance.now() + readyTimeoutMs;
    while (!isOver) {
      if (await definition.isReady()) {
        first.resolve();
        return !isOver;
      }
      if (performance.now() > deadline) first.reject(new Error(`Cannot start ${definition.name}: not ready after ${readyTimeoutMs / 1000} s`));
      await delay(readyIntervalMs);
    }
    return false;
  }

  const running = run();
  return {
    name: definition.name,
    log,
    get pid() {
      return child?.pid;
    },
    get isReady() {
      return isReady;
    },
    get startedAtMs() {
      return startedAtMs;
    },
    firstReady: () => first.promise,
    async stop() {
      stopping.abort();
      child?.kill("SIGTERM");
      const overdue = setTimeout(() => child?.kill("SIGKILL"), stopTimeoutMs);
      await running;
      clearTimeout(overdue);
    },
  };
}

function launch({ name, command, folder, environment }: ProcessDefinition, log: LogRing): ChildProcess {
  const child = spawn("/bin/sh", [startScript, ...command], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    // Its own session: Ctrl-C in the terminal reaches only us, and we end them in order.
    detached: true,
  });
  const instance = `${name}-${child.pid ?? 0}`;
  for (const stream of [child.stdout, child.stderr]) {
    eachLine(stream, (text) => log.push({ timeMs: Date.now(), instance, text }));
  }
  if (child.pid !== undefined) {
    const watcher = spawn("/bin/sh", ["-c", endWithUs, String(child.pid)], {
      cwd: "/",
      env: {},
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    child.once("exit", () => watcher.kill("SIGKILL"));
  }
  return child;
}

/** When it has ended and all of its output was read; also when it could not be started. */
function endOf(child: ChildProcess): Promise<void> {
  return new Promise((settle) => {
    child.once("close", () => settle());
    child.once("error", () => settle());
  });
}

/** With the line that says why: our own sentence, or the head of what Node prints of an error. */
function endedEarly(name: string, log: LogRing): string {
  const said = log.entries().map((entry) => entry.text);
  const reason = said.findLast((text) => text.startsWith("Cannot ")) ?? said.findLast((text) => /^\w*Error\b/.test(text)) ?? said.at(-1);
  return `Cannot start ${name}: it ended; ${reason ?? "it said nothing"}`;
}
