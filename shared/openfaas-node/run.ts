/** Starts a function as a process: signals end it in order, and nothing of a fault reaches its output. */
import process from "node:process";
import { Deno } from "@deno/shim-deno";
import type { LifecycleLine } from "./options.ts";
import type { RunningFunction } from "./serve.ts";

type FaultKind = Extract<LifecycleLine, { at: "process_failed" }>["kind"];

/**
 * Runs `main`; what it throws before serving is printed as one sentence (start errors are ours and quote nothing),
 * what is thrown later ends the process without a word of it, since it could quote content (content.none).
 */
export function run(main: () => Promise<RunningFunction>): void {
  let running: RunningFunction | undefined;

  process.on("uncaughtException", () => fail("uncaught_exception"));
  process.on("unhandledRejection", () => fail("unhandled_rejection"));
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => void stop());
  void start();

  async function start(): Promise<void> {
    try {
      running = await main();
    } catch (thrown) {
      end(thrown instanceof Error ? thrown.message : "unexpected fault");
    }
  }

  async function stop(): Promise<void> {
    await running?.stop();
    process.exit(0);
  }

  function fail(kind: FaultKind): void {
    if (!running) end("unexpected fault");
    running.log({ at: "process_failed", kind });
    process.exit(1);
  }
}

function end(sentence: string): never {
  process.stderr.write(`${sentence.split("\n", 1)[0]}\n`);
  process.exit(1);
}
