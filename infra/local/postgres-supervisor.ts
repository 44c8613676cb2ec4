/** Keeps Postgres running on one port, so that the functions' connection URLs stay true when it starts again. */
import { setTimeout as delay } from "node:timers/promises";
import { type RunningPostgres, startPostgres } from "./postgres.ts";

export interface SupervisedPostgres {
  /** Connects as superuser. */
  url: string;
  port: number;
  /** Undefined while it is down. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/** Milliseconds before a new start, doubling while it fails; recovery itself takes longer than the first. */
const restartDelayMsMin = 100;
const restartDelayMsMax = 5_000;

/** Throws one sentence when it does not start the first time. */
export async function supervisePostgres(dataDir: string): Promise<SupervisedPostgres> {
  const first = await startPostgres({ dataDir });
  const stopping = new AbortController();
  let server: RunningPostgres | undefined = first;

  async function keepRunning(): Promise<void> {
    while (!stopping.signal.aborted) {
      await server?.exited;
      server = undefined;
      server = await restart();
    }
  }

  async function restart(): Promise<RunningPostgres | undefined> {
    for (let delayMs = restartDelayMsMin; !stopping.signal.aborted; delayMs = Math.min(delayMs * 2, restartDelayMsMax)) {
      try {
        await delay(delayMs, undefined, { signal: stopping.signal });
        return await startPostgres({ dataDir, port: first.port });
      } catch {
        // Stopping, or in the way of a start is what ended it, such as a full disk: tried again until it is gone.
      }
    }
    return undefined;
  }

  const running = keepRunning();
  return {
    url: first.url,
    port: first.port,
    get pid() {
      return server?.pid;
    },
    async stop() {
      stopping.abort();
      await server?.stop();
      await running;
      // A start that was under way when we stopped has finished by now.
      await server?.stop();
    },
  };
}
