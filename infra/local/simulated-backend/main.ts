/** `node infra/local/simulated-backend/main.ts --port N`: prints `{"listening":N}` once it answers. */
import { parseArgs } from "node:util";
import { startSimulatedBackend } from "./backend.ts";

export { startSimulatedBackend } from "./backend.ts";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: "string", default: "0" }, host: { type: "string", default: "127.0.0.1" } } });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error("Cannot start the simulated backend: --port takes a number up to 65535");
  const backend = await startSimulatedBackend({ port, host: values.host });
  process.stdout.write(`${JSON.stringify({ listening: backend.port })}\n`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void backend.close());
}

if (import.meta.main) {
  main().catch((thrown: unknown) => {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : "Cannot start the simulated backend"}\n`);
    process.exitCode = 1;
  });
}
