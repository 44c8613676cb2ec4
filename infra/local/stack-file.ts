/**
 * stack.yml, read as faas-cli reads it, but strictly: faas-cli drops a key that it does not know without a word
 * (a misspelt `readonly_root_filesystem` deploys a writable function), here it is an error.
 */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";

const resources = z.strictObject({ memory: z.string(), cpu: z.string() });
const words = z.record(z.string(), z.string());

/** The keys of `Function` in faas-cli's vendored github.com/openfaas/go-sdk/stack/schema.go. */
const stackFunction = z.strictObject({
  lang: z.literal("openfaas-node"),
  handler: z.string(),
  image: z.string(),
  fprocess: z.string().optional(),
  environment: words.default({}),
  secrets: z.array(z.string()).default([]),
  skip_build: z.boolean().optional(),
  constraints: z.array(z.string()).optional(),
  environment_file: z.array(z.string()).optional(),
  labels: words.default({}),
  limits: resources.optional(),
  requests: resources.optional(),
  readonly_root_filesystem: z.boolean().optional(),
  build_options: z.array(z.string()).optional(),
  annotations: words.default({}),
  namespace: z.string().optional(),
  build_args: words.optional(),
  platforms: z.string().optional(),
  build_secrets: words.optional(),
});

/** The keys of `Services`, `Provider`, `StackConfiguration` and `TemplateSource` in the same file. */
const stackFile = z.strictObject({
  version: z.literal("1.0"),
  provider: z.strictObject({ name: z.literal("openfaas"), gateway: z.string() }),
  configuration: z.strictObject({
    templates: z.array(z.strictObject({ name: z.string(), source: z.string().optional() })).optional(),
    copy: z.array(z.string()),
  }),
  functions: z.record(z.string().regex(/^[a-z][a-z-]*$/), stackFunction),
});

export type StackFile = z.output<typeof stackFile>;
export type StackFunction = z.output<typeof stackFunction>;

const placeholder = /\$\{([A-Za-z_]\w*):-([^}]*)\}/g;

/**
 * The stack with every `${NAME:-default}` at its default: the local stack takes nothing from the environment,
 * which may be set up for a deployment. Throws an Error that names the first key that is wrong.
 */
export function parseStackFile(text: string): StackFile {
  const substituted = text.replaceAll(placeholder, (_, _name, fallback: string) => fallback);
  if (substituted.includes("${")) throw new Error("Cannot read stack.yml: a variable has no default; write ${NAME:-default}");
  const result = stackFile.safeParse(parse(substituted));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new Error(`Cannot read stack.yml: ${issue.path.join(".") || "the whole file"}: ${issue.message}`);
}

export async function readStackFile(path: string): Promise<StackFile> {
  return parseStackFile(await readFile(path, "utf8"));
}
