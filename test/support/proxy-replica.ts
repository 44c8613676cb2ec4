/** A second proxy beside the stack's own: the same program, settings and secrets, on another port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { findFreePorts } from "#infra/local/ports.ts";
import type { Stack } from "./stack.ts";
import { waitFor } from "./wait.ts";

const main = fileURLToPath(new URL("../../functions/proxy/main.ts", import.meta.url));

export interface Replica {
  url: string;
  /** SIGKILL, or SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export async function startReplica(stack: Stack): Promise<Replica> {
  const [port] = await findFreePorts(1);
  const child = spawn(process.execPath, [main], {
    env: { ...stack.environmentOf("proxy"), PORT: String(port) },
    stdio: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  const isReady = () => fetch(`${url}/_/ready`).then(({ status }) => status === 200, () => false);
  await waitFor("the second proxy to be ready", isReady);
  return {
    url,
    signal: (name) => void child.kill(name),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}
