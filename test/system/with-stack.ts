/** `node test/system/with-stack.ts COMMAND...`: runs the command beside a whole stack, told where that is. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { startStack } from "../support/stack.ts";

const [command, ...words] = process.argv.slice(2);
if (command === undefined) throw new Error("Cannot run: no command was given");

const stack = await startStack();
try {
  const child = spawn(command, words, {
    stdio: "inherit",
    env: { ...process.env, EPITHRE_URL: stack.url, EPITHRE_API_KEY: stack.apiKey, EPITHRE_ENGINE_URL: stack.engine.url },
  });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
} finally {
  await stack.stop();
}
