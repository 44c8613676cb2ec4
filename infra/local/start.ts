/** `npm start`: the local stack on a terminal, or as one JSON line for programs. */
import { dirname } from "node:path";
import { help, readOptions } from "./options.ts";
import { createProgress, readyLine, readyScreen, silent } from "./screen.ts";
import { startStack } from "./stack.ts";

const appDir = dirname(dirname(import.meta.dirname));

/** Milliseconds between two looks whether npm, which started us, still lives. */
const parentIntervalMs = 500;

const write = (text: string) => void process.stdout.write(text);

/** Milliseconds after a signal in which another one is the same: on Ctrl-C the terminal and npm each send one. */
const sameSignalMs = 1_000;

/** Ends with the first signal; a later one ends us at once, and what we started ends with us. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let firstMs = Infinity;
  function stop(): void {
    if (performance.now() - firstMs > sameSignalMs) process.exit(1);
    firstMs = Math.min(firstMs, performance.now());
    stopping.abort();
  }
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, stop);
  // Killed, npm tells nobody; started otherwise, we may be meant to outlive whoever started us.
  const parent = process.ppid;
  if (process.env["npm_lifecycle_event"]) {
    setInterval(() => process.ppid !== parent && stopping.abort(), parentIntervalMs).unref();
  }
  return stopping.signal;
}

/** One sentence, never a stack trace: what is not ours is named by its code only, for its text may quote anything. */
function sentence(thrown: unknown): string {
  if (thrown instanceof Error && thrown.message.startsWith("Cannot ")) return thrown.message;
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return `Cannot start: an unexpected fault${typeof code === "string" ? ` (${code})` : ""}; start again, or with --fresh`;
}

async function main(): Promise<void> {
  const { help: wantsHelp, json, ...options } = readOptions(process.argv.slice(2), appDir);
  if (wantsHelp) return write(help);
  const signal = stopSignal();
  const stopped = new Promise<void>((settle) => signal.addEventListener("abort", () => settle()));
  if (!json) write("Epithre on this machine\n\n");
  try {
    const stack = await startStack({ ...options, appDir, signal, progress: json ? silent : createProgress(write) });
    write(json ? readyLine(stack) : readyScreen(stack));
    await stopped;
    if (!json) write("\nStopping ...");
    await stack.stop();
    if (!json) write(" stopped.\n");
  } catch (thrown) {
    // A step has begun a line that it will not end.
    if (!json) write("\n");
    if (!signal.aborted) throw thrown;
    if (!json) write("Stopped before it was ready.\n");
  }
}

function fail(thrown: unknown): never {
  process.stderr.write(`${sentence(thrown)}\n`);
  process.exit(1);
}

// A terminal that went away is no reason to leave the database running without a word.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
process.on("uncaughtException", fail);
main().then(() => process.exit(0), fail);
