/** A function beside the stack's own: the same program, settings and secrets, on another port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { findFreePorts } from "#infra/local/ports.ts";
import type { Stack } from "./stack.ts";
import { waitFor } from "./wait.ts";

export interface Replica {
  url: string;
  /** SIGKILL, or SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void;
  /** Settles with the signal that ended it, or null. */
  ended: Promise<NodeJS.Signals | null>;
  stop(): Promise<void>;
}

/** `settings` are environment variables that differ from the stack's. */
export async function startReplica(stack: Stack, name: "proxy" | "billing" = "proxy", settings: Record<string, string> = {}): Promise<Replica> {
  const [port] = await findFreePorts(1);
  const main = fileURLToPath(new URL(`../../functions/${name}/main.ts`, import.meta.url));
  const child = spawn(process.execPath, [main], {
    env: { ...stack.environmentOf(name), ...settings, PORT: String(port) },
    stdio: "ignore",
  });
  const ended = once(child, "exit").then(([, signal]) => signal as NodeJS.Signals | null);
  const url = `http://127.0.0.1:${port}`;
  const isReady = () => fetch(`${url}/_/ready`).then(({ status }) => status === 200, () => false);
  await waitFor(`another ${name} to be ready`, isReady, 30_000);
  return {
    url,
    signal: (name) => void child.kill(name),
    ended,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
