/** Starts a function as a process: signals end it in order, and nothing of a fault reaches its output. */
import process from "node:process";
import { Deno } from "@deno/shim-deno";
import type { RunningFunction } from "./serve.ts";

/**
 * Runs `main`; what it throws before serving is printed as one sentence (start errors are ours and quote nothing),
 * what is thrown later ends the process without a word of it, since it could quote content (content.none).
 */
export function run(main: () => Promise<RunningFunction>): void {
  process.on("uncaughtException", () => end("unexpected fault"));
  process.on("unhandledRejection", () => end("unexpected fault"));
  main().then(
    (running) => {
      const stop = () => void running.stop().then(() => process.exit(0));
      Deno.addSignalListener("SIGTERM", stop);
      Deno.addSignalListener("SIGINT", stop);
    },
    (thrown: unknown) => end(thrown instanceof Error ? thrown.message : "unexpected fault"),
  );
}

function end(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
