/**
 * Bundles one function for its image. Runs where the Dockerfile has put things: `functions` and `shared` as in the
 * repository, and beside them the main.ts of the function that is being built, which says its name.
 */
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { build } from "esbuild";

/** Where the image has the bundle and OpenFaaS the secrets; tests have them elsewhere. */
const [outFolder = "out", app = "/app", secrets = "/var/openfaas/secrets"] = process.argv.slice(2);

const name = functionName();
const source = join("functions", name);
const target = join(outFolder, "functions", name);
const entries = readdirSync(source, { withFileTypes: true });
/** Programs of threads of their own are named so, and bundled apart. */
const programs = entries.map((entry) => entry.name).filter((file) => file === "main.ts" || file.endsWith("-worker.ts"));

mkdirSync(target, { recursive: true });
for (const program of programs) await bundle(program);
// Folders beside the code are what it reads at run time, such as the dashboard's pages.
for (const entry of entries) if (entry.isDirectory()) cpSync(join(source, entry.name), join(target, entry.name), { recursive: true });
copyFileSync("shared/openfaas-node/start.sh", join(outFolder, "start.sh"));
writeFileSync(join(outFolder, "main.mjs"), `import "./functions/${name}/main.mjs";\n`);
writeFileSync(join(outFolder, "node.config.json"), `${JSON.stringify(nodeConfig(), null, 2)}\n`);

/** Throws unless exactly one function has this main.ts: faas-cli does not say which one it builds. */
function functionName(): string {
  const main = readFileSync("handler/main.ts", "utf8");
  const names = readdirSync("functions").filter((folder) => readFileSync(join("functions", folder, "main.ts"), "utf8") === main);
  if (names.length !== 1) throw new Error(`Cannot tell which function this is: ${names.length} have this main.ts; give each its own name`);
  return names[0]!;
}

async function bundle(program: string): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: [join(source, program)],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node26",
    // Packages written for CommonJS ask for Node's own modules by require().
    banner: { js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);' },
  });
  const text = programs.reduce((code, other) => code.replaceAll(`"./${other}"`, `"./${bundled(other)}"`), outputFiles[0]!.text);
  writeFileSync(join(target, bundled(program)), text);
}

function bundled(program: string): string {
  return program.replace(/\.ts$/, ".mjs");
}

/** The runtime's options, and permissions: `--allow-fs-read=a` twice -> `"allow-fs-read": ["a", "a"]`, `--allow-net` -> `"allow-net": true`. */
function nodeConfig() {
  const { node: flags } = JSON.parse(readFileSync(join(source, "permissions.json"), "utf8")) as { node: string[] };
  const permission: Record<string, true | string[]> = {};
  for (const flag of flags) {
    const [option, value] = flag.replace(/^--/, "").replaceAll("{app}", app).replaceAll("{secrets}", secrets).split("=") as [string, string?];
    if (value === undefined) permission[option] = true;
    else permission[option] = [...((permission[option] ?? []) as string[]), value];
  }
  const { nodeOptions } = JSON.parse(readFileSync("shared/openfaas-node/node.config.json", "utf8")) as { nodeOptions: unknown };
  return { nodeOptions, permission };
}
