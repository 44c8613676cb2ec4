import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { launch } from "./support/child-process.ts";
import { live, signUpSomeone } from "./support/function-life.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const app = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");
const probeFile = join(app, "test/support/permission-probe.ts");
const runtimeOptions = join(app, "shared/openfaas-node/node.config.json");
const names = readdirSync(join(app, "functions"));
const runtimes = ["node", "deno"] as const;
const denied = { node: "ERR_ACCESS_DENIED", deno: "NotCapable" };

const Permissions = z.strictObject({ node: z.array(z.string()), deno: z.array(z.string()) });

function permissionsOf(name: string) {
  return Permissions.parse(JSON.parse(readFileSync(join(app, "functions", name, "permissions.json"), "utf8")));
}

/** The command that runs `file` with exactly the permissions that the function lists. */
function commandOf(name: string, runtime: (typeof runtimes)[number], secretsFolder: string, file: string): string[] {
  const flags = permissionsOf(name)[runtime].map((flag) => flag.replaceAll("{app}", app).replaceAll("{secrets}", secretsFolder));
  return runtime === "node"
    ? [process.execPath, "--permission", `--experimental-config-file=${runtimeOptions}`, ...flags, file]
    : ["deno", "run", "--no-prompt", ...flags, file];
}

test.each(names)("functions/%s lists permissions for both runtimes, and none to write or to run programs", (name) => {
  const { node, deno } = permissionsOf(name);
  for (const flag of node) expect(flag).toMatch(/^--allow-(net|worker|fs-read=\{(app|secrets)\}\/[\w./-]*\*?)$/);
  for (const flag of deno) expect(flag).toMatch(/^--allow-(net|env|sys|read)(=[\w{},/._-]+)?$/);
});

describe.each(runtimes)("with exactly its permissions under %s", (runtime) => {
  test.each(names)("%s starts without what it talks to, is healthy, and ends with code 0 on SIGTERM", async (name) => {
    const secretsFolder = temporaryFolder();
    const main = join(app, "functions", name, "main.ts");
    const { port, health, code, lines } = await live(name, commandOf(name, runtime, secretsFolder, main), secretsFolder);
    expect({ health, code }).toEqual({ health: 200, code: 0 });
    // No warning and no denied permission is among them: those are no lines of the log.
    expect(lines[0]).toMatchObject({ at: "started", port });
    expect(lines.at(-1)).toMatchObject({ at: "stopped", openRequests: 0 });
  });

  test("accounts hashes passwords in its thread", async () => {
    const secretsFolder = temporaryFolder();
    const command = commandOf("accounts", runtime, secretsFolder, join(app, "functions/accounts/main.ts"));
    const { answer } = await live("accounts", command, secretsFolder, undefined, signUpSomeone);
    expect(answer).toContain("the database does not");
  });

  test.each(names)("%s can leave nothing behind on the machine, nor look around in it (content.none, content.images)", async (name) => {
    const { outcomes, left } = await probe((folder) => commandOf(name, runtime, folder, probeFile));
    expect(left).toEqual([]);
    expect(outcomes["a file"]).toBe(denied[runtime]);
    expect(outcomes["a look at the machine's users"]).toBe(denied[runtime]);
    // Deno answers some of the others by doing nothing, or with errors of its own.
    if (runtime === "node") expect(new Set(Object.values(outcomes))).toEqual(new Set([denied.node]));
  });
});

test("the probe looks around and leaves traces where nothing forbids it", async () => {
  const { outcomes, left } = await probe(() => [process.execPath, probeFile]);
  expect(new Set(Object.values(outcomes))).toEqual(new Set(["done"]));
  expect(left.sort()).toEqual(["existing", "file", "folder", "heap snapshot", "link", "report", "shared memory", "worker"]);
});

/** Runs the probe, and says what it told and what is on the machine afterwards that was not before. */
async function probe(command: (folder: string) => string[]): Promise<{ outcomes: Record<string, string>; left: string[] }> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "existing"), "");
  const sharedMemory = join("/dev/shm", basename(folder));
  onTestFinished(() => rmSync(sharedMemory, { force: true }));
  const { output, code } = launch([...command(folder), folder, sharedMemory]);
  expect(await code).toBe(0);
  const outcomes = JSON.parse(/\{.*\}/.exec(output())![0]) as Record<string, string>;
  const left = readdirSync(folder).filter((name) => name !== "existing" || readFileSync(join(folder, name), "utf8") !== "");
  return { outcomes, left: existsSync(sharedMemory) ? [...left, "shared memory"] : left };
}
