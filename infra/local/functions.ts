/** A function of stack.yml as a process of this machine: its permissions, environment, secrets and health. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { z } from "zod";
import { processFolder } from "./data-folder.ts";
import { namespace } from "./routes.ts";
import { mountSecrets, type Secrets } from "./secrets.ts";
import type { StackFile, StackFunction } from "./stack-file.ts";
import type { ProcessDefinition } from "./supervisor.ts";

export interface FunctionPlace {
  /** The repository: holds functions, shared and node_modules. */
  appDir: string;
  dataDir: string;
  secrets: Secrets;
  /** Secrets that are not random words: places of this machine, and what has a form of its own. */
  knownSecrets: Record<string, string>;
  /** Settings that differ from stack.yml here, by function. */
  settings: Record<string, Record<string, string>>;
  ports: ReadonlyMap<string, number>;
}

/** `functions/<name>/permissions.json`. */
const permissions = z.object({ node: z.array(z.string()), deno: z.array(z.string()) });

/** What a function may read of the repository: not the stack's data, which by default lies in it too. */
const readableParts = ["functions", "shared", "node_modules"];

/** Milliseconds for an answer about a process's own state. */
const readyAnswerTimeoutMs = 1_000;

export async function describeFunctions(stack: StackFile, place: FunctionPlace): Promise<ProcessDefinition[]> {
  return Promise.all(Object.entries(stack.functions).map(([name, definition]) => describeFunction(name, definition, place)));
}

async function describeFunction(name: string, definition: StackFunction, place: FunctionPlace): Promise<ProcessDefinition> {
  const port = place.ports.get(name)!;
  const folder = processFolder(place.dataDir, name);
  const secretsFolder = await mountSecrets(join(folder, "secrets"), await secretsOf(definition, place));
  return {
    name,
    command: [
      process.execPath,
      "--permission",
      `--experimental-config-file=${join(place.appDir, "shared/openfaas-node/node.config.json")}`,
      ...(await permissionFlags(name, place.appDir, secretsFolder)),
      join(place.appDir, definition.handler, "main.ts"),
    ],
    folder,
    environment: {
      ...localAddresses(definition.environment, place.ports),
      ...place.settings[name],
      PORT: String(port),
      listen_address: "127.0.0.1",
      secret_mount_path: secretsFolder,
    },
    isReady: () => answersReady(`http://127.0.0.1:${port}/_/ready`),
  };
}

async function secretsOf(definition: StackFunction, { secrets, knownSecrets }: FunctionPlace): Promise<Record<string, string>> {
  const values = definition.secrets.map(async (name) => [name, knownSecrets[name] ?? (await secrets.value(name))] as const);
  return Object.fromEntries(await Promise.all(values));
}

/** Permission to read `{app}/*` becomes permission to read the code in it, one flag for each part. */
async function permissionFlags(name: string, appDir: string, secretsFolder: string): Promise<string[]> {
  const file = join(appDir, "functions", name, "permissions.json");
  const { node } = permissions.parse(JSON.parse(await readFile(file, "utf8")));
  return node
    .flatMap((flag) =>
      flag.endsWith("={app}/*")
        ? [...readableParts.map((part) => flag.replace("{app}", `{app}/${part}`)), flag.replace("*", "package.json")]
        : [flag],
    )
    .map((flag) => flag.replaceAll("{app}", appDir).replaceAll("{secrets}", secretsFolder));
}

/** `http://billing.openfaas-fn:8080` -> where billing listens here. */
function localAddresses(environment: Record<string, string>, ports: ReadonlyMap<string, number>): Record<string, string> {
  const replace = (value: string) =>
    [...ports].reduce((text, [name, port]) => text.replaceAll(`http://${name}.${namespace}:8080`, `http://127.0.0.1:${port}`), value);
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, replace(value)]));
}

/** Whether the address answers 200 now. */
export async function answersReady(url: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(readyAnswerTimeoutMs) });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}
