/**
 * The schedule of stack.yml on this machine: what OpenFaaS's cron-connector does in the cluster, by the same
 * annotations, through the same gateway, with the same headers.
 */
import { Cron } from "croner";
import { request } from "undici";
import { namespace } from "./routes.ts";
import type { StackFile } from "./stack-file.ts";

export interface CronOptions {
  stack: StackFile;
  gatewayUrl: string;
  /** Counted, not printed: the function itself logs what it did. */
  completed(name: string, outcome: "answered" | "failed"): void;
}

export interface Schedule {
  /** Names of the functions that are called. */
  names: string[];
  stop(): Promise<void>;
}

/** The value of the annotation `topic` that makes a function scheduled. */
const cronTopic = "cron-function";

export function startCron({ stack, gatewayUrl, completed }: CronOptions): Schedule {
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();

  async function call(name: string): Promise<void> {
    try {
      const { statusCode, body } = await request(`${gatewayUrl}/function/${name}.${namespace}`, {
        method: "POST",
        headers: { "x-topic": cronTopic, "x-connector": "cron-connector" },
        signal: stopping.signal,
      });
      await body.dump();
      completed(name, statusCode < 300 ? "answered" : "failed");
    } catch {
      completed(name, "failed");
    }
  }

  const scheduled = Object.entries(stack.functions).filter(([, { annotations }]) => annotations.topic === cronTopic);
  const jobs = scheduled.map(([name, { annotations }]) =>
    createJob(name, annotations.schedule ?? "", async () => {
      const run = call(name);
      running.add(run);
      await run;
      running.delete(run);
    }),
  );
  return {
    names: scheduled.map(([name]) => name),
    async stop() {
      for (const job of jobs) job.stop();
      stopping.abort();
      await Promise.all(running);
    },
  };
}

/** Pods keep UTC. A run that takes longer than the interval is not joined by another. */
function createJob(name: string, schedule: string, run: () => Promise<void>): Cron {
  try {
    return new Cron(schedule, { protect: true, timezone: "UTC", mode: "5-part" }, run);
  } catch {
    throw new Error(`Cannot read stack.yml: schedule of ${name}: not five fields of cron`);
  }
}
