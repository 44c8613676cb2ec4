import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { launch } from "../support/child-process.ts";
import { live, signUpSomeone, stack } from "../support/function-life.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const template = join(root, "template/openfaas-node");
const dockerfile = readFileSync(join(template, "Dockerfile"), "utf8");

/** The keys of `LanguageTemplate` in faas-cli's vendored github.com/openfaas/go-sdk/stack/schema.go; it drops others silently. */
const LanguageTemplate = z.strictObject({
  language: z.literal("openfaas-node"),
  fprocess: z.string().optional(),
  build_options: z.array(z.strictObject({ name: z.string(), packages: z.array(z.string()) })).optional(),
  welcome_message: z.string().optional(),
  handler_folder: z.string(),
  mount_ssh: z.boolean().optional(),
});
/** What the image runs, with the Node that is installed here. */
const command = (JSON.parse(/^CMD (.+)$/m.exec(dockerfile)![1]!) as string[]).map((word) => (word === "node" ? process.execPath : word));
const { handler_folder: handlerFolder } = LanguageTemplate.parse(parse(readFileSync(join(template, "template.yml"), "utf8")));

/** The build context as faas-cli lays it out (CreateBuildContext in go-sdk/builder/builder.go). */
function buildContext(name: string): string {
  const context = temporaryFolder();
  const { handler } = stack.functions[name]!;
  cpSync(template, context, { recursive: true });
  cpSync(join(root, handler), join(context, handlerFolder), { recursive: true });
  for (const path of stack.configuration.copy) cpSync(join(root, path), join(context, handlerFolder, path), { recursive: true });
  return context;
}

/** Does what the Dockerfile's build stage does, with the packages that are installed here; answers the image's `/app`. */
async function buildImage(name: string, secretsFolder: string): Promise<string> {
  const context = buildContext(name);
  const stage = temporaryFolder();
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].map(([, parts]) => parts!.split(" "));
  for (const parts of copies) {
    const target = join(stage, parts.pop()!);
    if (target.endsWith("/")) mkdirSync(target, { recursive: true });
    // Of a folder, COPY takes what is in it.
    for (const source of parts.map((part) => join(context, part))) {
      cpSync(source, statSync(source).isDirectory() ? target : join(target, basename(source)), { recursive: true });
    }
  }
  symlinkSync(join(root, "node_modules"), join(stage, "node_modules"));
  const app = temporaryFolder();
  const { output, code } = launch([process.execPath, join(stage, "build.ts"), app, app, secretsFolder], {}, stage);
  expect({ code: await code, output: output() }).toEqual({ code: 0, output: "" });
  return app;
}

/** What holds for each function, whatever its permissions. */
const nodeOptionsIn = (file: string) => (JSON.parse(readFileSync(file, "utf8")) as { nodeOptions: object }).nodeOptions;

test("faas-cli finds the template where it looks, at ./template", () => {
  expect(realpathSync(join(root, "template"))).toBe(join(realpathSync(root), "infra/template"));
  expect(existsSync(join(template, handlerFolder, "main.ts"))).toBe(true);
});

test("the image runs as an unprivileged user that has a number, and denies what is not allowed", () => {
  expect(dockerfile).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  expect(dockerfile).toMatch(/^CMD \["\/bin\/sh", "start.sh", "node", "--permission", /m);
});

test.each(Object.keys(stack.functions))("the bundle of %s starts alone, with its permissions, and ends with code 0 on SIGTERM", async (name) => {
  const secretsFolder = temporaryFolder();
  const app = await buildImage(name, secretsFolder);
  const { health, code, lines } = await live(name, command, secretsFolder, app);
  expect({ health, code }).toEqual({ health: 200, code: 0 });
  expect(lines.map(({ at }) => at)).toEqual(["started", "draining", "stopped"]);
  expect(nodeOptionsIn(join(app, "node.config.json"))).toEqual(nodeOptionsIn(join(root, "shared/openfaas-node/node.config.json")));
  // What a bundle still loads by itself, such as a thread's program, is a bundle too.
  const folder = join(app, "functions", name);
  const loaded = readFileSync(join(folder, "main.mjs"), "utf8").matchAll(/new URL\("\.\/([^"]+)", import\.meta\.url\)/g);
  for (const [, path] of loaded) expect([path, existsSync(join(folder, path!))]).toEqual([path, true]);
});

test("the bundle of accounts hashes passwords in its thread", async () => {
  const secretsFolder = temporaryFolder();
  const app = await buildImage("accounts", secretsFolder);
  const { answer } = await live("accounts", command, secretsFolder, app, signUpSomeone);
  expect(answer).toContain("the database does not");
});
