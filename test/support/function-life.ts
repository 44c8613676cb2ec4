/** The life of a function as a process by itself: nothing that it talks to is there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { findFreePorts } from "#infra/local/ports.ts";
import { parseStackFile } from "#infra/local/stack-file.ts";
import { launch } from "./child-process.ts";
import { waitFor } from "./wait.ts";

/** Milliseconds for a start on a busy machine. */
const startTimeoutMs = 20_000;

export const stack = parseStackFile(readFileSync(new URL("../../stack.yml", import.meta.url), "utf8"));

export interface Life {
  port: number;
  /** Of `/_/health`, once it was ready. */
  health: number | undefined;
  /** The exit code after SIGTERM. */
  code: number | null;
  /** What it answered when it was asked something. */
  answer?: string;
  /** All that it printed: nothing but lines of the closed log, or reading them throws. */
  lines: { at: string }[];
}

/** Starts the function with stack.yml's settings and with secrets in `secretsFolder`, and ends it once it is ready. */
export async function live(
  name: string,
  command: string[],
  secretsFolder: string,
  folder?: string,
  ask?: (url: string) => Promise<Response>,
): Promise<Life> {
  const { secrets, environment } = stack.functions[name]!;
  for (const secret of secrets) writeFileSync(join(secretsFolder, secret), secretValue(secret));
  const port = (await findFreePorts(1))[0]!;
  const settings = {
    ...environment,
    ...("backends" in environment ? { backends: JSON.stringify([{ url: "http://127.0.0.1:1", models: null, type: "vllm" }]) } : {}),
    PORT: String(port),
    listen_address: "127.0.0.1",
    secret_mount_path: secretsFolder,
  };
  const { child, output, code } = launch(command, settings, folder);
  const statusOf = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).then(({ status }) => status, () => undefined);
  await waitFor(`${name} to be ready`, async () => (await statusOf("/_/ready")) === 200, startTimeoutMs).catch((thrown: Error) => {
    throw new Error(`${thrown.message}; it printed: ${output()}`);
  });
  const health = await statusOf("/_/health");
  const answer = await (await ask?.(`http://127.0.0.1:${port}`))?.text();
  child.kill("SIGTERM");
  const exitCode = await code;
  const lines = output().trim().split("\n").map((line) => JSON.parse(line) as { at: string });
  return { port, health, code: exitCode, answer, lines };
}

/** Asks accounts to hash a password: it does so before it finds that there is no database. */
export async function signUpSomeone(url: string): Promise<Response> {
  const signUp = () =>
    fetch(`${url}/v1/account/signup`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: "someone@example.com", password: "a password of some length" }),
    });
  let response = await signUp();
  // A busy machine takes its time for the first hash of a new thread, and callers are told to try again.
  for (let tries = 1; tries < 5 && (await response.clone().text()).includes("overloaded"); tries += 1) response = await signUp();
  return response;
}

/** Port 1 of this machine, where nothing listens. */
function secretValue(name: string): string {
  if (["receipt-key", "audit-key", "evidence-key", "session-key"].includes(name)) return makeReceiptKey();
  if (name.startsWith("database-")) return "postgres://nobody:nothing@127.0.0.1:1/none";
  if (name === "object-store-login") return "access-key:secret-of-some-length";
  return name === "smtp-url" ? "smtp://127.0.0.1:1" : "a secret of some length";
}
