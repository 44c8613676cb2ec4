import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Cron } from "croner";
import { describe, expect, test } from "vitest";
import { parseStackFile, type StackFunction } from "#infra/local/stack-file.ts";
import { databaseFunctions } from "#infra/local/migrate.ts";
import { namesRead, type setting } from "#shared/config.ts";
import { edgeSecretName, flow } from "#shared/flow.ts";

type Shape = Parameters<typeof namesRead>[0];

const text = readFileSync(new URL("../stack.yml", import.meta.url), "utf8");
const stack = parseStackFile(text);
const functions = Object.entries(stack.functions);

/** What the runtime reads by itself, and the place of the secrets: given by whoever runs the image. */
const runtimeSettings = ["PORT", "listen_address", "secret_mount_path"];

describe("stack.yml", () => {
  test("has every function of the folder, and no other", () => {
    const folders = readdirSync(new URL("../functions", import.meta.url));
    expect(functions.map(([name]) => name).sort()).toEqual(folders.sort());
    for (const [name, { handler }] of functions) expect(handler).toBe(`./functions/${name}`);
  });

  // faas-cli drops a key that it does not know without a word; the keys it knows are in stack-file.ts, with their source.
  test.each([
    ["functions.proxy", "    readonly_root_filesystem: true", "    readOnlyRootFilesystem: true"],
    ["functions.proxy.limits", "limits: { memory: 1Gi,", "limits: { gpu: one, memory: 1Gi,"],
    ["functions.proxy.environment.debug", "    environment:", "    environment:\n      debug: true"],
    ["provider", "  name: openfaas", "  name: openfaas\n  network: func_functions"],
    ["configuration", "  copy:", "  copyExtraPaths: [shared]\n  copy:"],
    ["the whole file", "provider:", "x-defaults: {}\nprovider:"],
  ])("is refused with a key or value that faas-cli would drop or misread, at %s", (place, part, instead) => {
    expect(text).toContain(part);
    expect(() => parseStackFile(text.replace(part, instead))).toThrow(`Cannot read stack.yml: ${place}: `);
  });

  test("is refused with a variable that has no default", () => {
    expect(() => parseStackFile(`${text}\n# \${EPITHRE_OTHER}`)).toThrow("a variable has no default");
  });

  test("copies what the template's build takes, and what is there", () => {
    const dockerfile = readFileSync(new URL("../infra/template/openfaas-node/Dockerfile", import.meta.url), "utf8");
    const taken = [...dockerfile.matchAll(/(?<=^COPY .*)\bfunction\/([\w.-]+)/gm)].map(([, path]) => path!).filter((path) => path !== "main.ts");
    expect([...stack.configuration.copy].sort()).toEqual([...new Set(taken)].sort());
    for (const path of stack.configuration.copy) expect(existsSync(new URL(`../${path}`, import.meta.url)), path).toBe(true);
  });

  test("closes the root file system of every function, and gives each a limit (content.none)", () => {
    for (const [name, { readonly_root_filesystem, limits, requests }] of functions) {
      expect({ name, readonly_root_filesystem, limits: Boolean(limits), requests: Boolean(requests) }).toEqual({
        name, readonly_root_filesystem: true, limits: true, requests: true,
      });
    }
  });

  test("schedules export, purge, admin, notify, reconcile and audit-seal with five fields of cron", () => {
    const scheduled = functions.filter(([, { annotations }]) => annotations.topic === "cron-function");
    expect(scheduled.map(([name]) => name)).toEqual(["export", "purge", "admin", "notify", "reconcile", "audit-seal"]);
    for (const [, { annotations }] of scheduled) {
      expect(annotations.schedule).toMatch(/^([\d*/,-]+ ){4}[\d*/,-]+$/);
      expect(new Cron(annotations.schedule!, { paused: true }).nextRun()).not.toBeNull();
    }
  });

  test.each(functions)("gives %s exactly the secrets that it reads, and no setting that it does not", async (name, definition) => {
    const shape = await configShapeOf(name);
    const read = namesRead(shape);
    expect([...definition.secrets].sort()).toEqual(read.secrets.sort());
    const settings = Object.keys(definition.environment);
    expect(settings.filter((given) => !read.environment.includes(given) || runtimeSettings.includes(given))).toEqual([]);
    expect(requiredSettings(shape).filter((needed) => !settings.includes(needed))).toEqual([]);
  });

  test("mounts the secret of an edge at its two ends and nowhere else", () => {
    for (const { from, to } of flow) expect(holders(edgeSecretName(from, to))).toEqual([from, to].sort());
    const edges = flow.map(({ from, to }) => edgeSecretName(from, to));
    const mounted = functions.flatMap(([, { secrets }]) => secrets.filter((secret) => secret.startsWith("edge-")));
    expect([...new Set(mounted)].sort()).toEqual([...edges].sort());
  });

  test("mounts a database login at its own function only; proxy and dashboard have none", () => {
    for (const name of databaseFunctions) expect(holders(`database-${name}`)).toEqual([name]);
    const logins = functions.flatMap(([, { secrets }]) => secrets.filter((secret) => secret.startsWith("database-")));
    expect(logins).toHaveLength(databaseFunctions.length);
  });
});

function holders(secret: string): string[] {
  return functions.filter(([, definition]: [string, StackFunction]) => definition.secrets.includes(secret)).map(([name]) => name).sort();
}

/** What `functions/<name>/config.ts` says; a function without the file reads nothing of its own. */
async function configShapeOf(name: string): Promise<Shape> {
  const file = new URL(`../functions/${name}/config.ts`, import.meta.url);
  return existsSync(file) ? ((await import(file.href)) as { configShape: Shape }).configShape : {};
}

function requiredSettings(shape: Shape): string[] {
  return Object.values(shape)
    .filter((source: ReturnType<typeof setting>) => source.from === "environment" && !source.schema.safeParse(undefined).success)
    .map((source) => source.name);
}
