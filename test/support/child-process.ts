/** A program as a process of its own, with nothing of this one's environment but the path to programs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";

export interface Launched {
  child: ChildProcess;
  /** All that it printed so far, on both outputs. */
  output(): string;
  /** The exit code, once it has ended and all its output is here; a process that a signal ended has none. */
  code: Promise<number | null>;
}

/** Ends with the test, if it has not before. */
export function launch(command: string[], environment: Record<string, string> = {}, folder?: string): Launched {
  const [program, ...parameters] = command;
  const child = spawn(program!, parameters, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text));
  return { child, output: () => output, code: once(child, "close").then(([code]) => code as number | null) };
}
