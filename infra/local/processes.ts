/** The processes of one stack, by name: started in groups, ready when all of a group are. */
import { mkdir } from "node:fs/promises";
import { type ProcessDefinition, supervise, type SupervisedProcess } from "./supervisor.ts";

export interface Processes {
  get(name: string): SupervisedProcess | undefined;
  /** Settles when all are ready; fails with one sentence, or with the reason of the abort. `parts` stops them. */
  start(definitions: ProcessDefinition[], parts: AsyncDisposableStack): Promise<void>;
  /** Of those that run now. */
  pids(names: string[]): Record<string, number>;
}

export function createProcesses(signal: AbortSignal): Processes {
  const running = new Map<string, SupervisedProcess>();
  return {
    get: (name) => running.get(name),
    async start(definitions, parts) {
      for (const { folder } of definitions) await mkdir(folder, { recursive: true, mode: 0o700 });
      const started = definitions.map(supervise);
      parts.defer(async () => void (await Promise.all(started.map((one) => one.stop()))));
      for (const one of started) running.set(one.name, one);
      await whileNotAborted(signal, Promise.all(started.map((one) => one.firstReady())));
    },
    pids(names) {
      const pairs = names.map((name) => [name, running.get(name)?.pid] as const);
      return Object.fromEntries(pairs.filter((pair): pair is [string, number] => pair[1] !== undefined));
    },
  };
}

/** `work`, or the reason of the abort, whichever comes first. */
async function whileNotAborted<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
