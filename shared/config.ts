/**
 * Configuration: one object per function, read once at start; every wrong or missing name comes out in one
 * message. This is the only file that touches the environment. A secret is a file under the OpenFaaS secrets
 * folder and never a variable, so that it shows in no process listing.
 */
import { Deno } from "@deno/shim-deno";
import { z } from "zod";

interface Source<T extends z.ZodType> {
  from: "environment" | "secret";
  name: string;
  schema: T;
}

/** A variable of the environment, in stack.yml under `environment`. */
export function setting<T extends z.ZodType>(name: string, schema: T): Source<T> {
  return { from: "environment", name, schema };
}

/** A file of the secrets folder, in stack.yml under `secrets`; surrounding white space does not count. */
export function secret(name: string): Source<z.ZodString>;
export function secret<T extends z.ZodType>(name: string, schema: T): Source<T>;
export function secret(name: string, schema: z.ZodType = z.string().min(16)): Source<z.ZodType> {
  return { from: "secret", name, schema };
}

/** `true` or `false`; anything else is refused at start, never silently false. */
export const booleanSetting = z.enum(["true", "false"]).transform((word) => word === "true");

/** A JSON value in a setting; a syntax error is reported like any other wrong value, without quoting it. */
export function jsonSetting<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue({ code: "custom", message: "is not JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

type Configuration<Shape extends Record<string, Source<z.ZodType>>> = {
  [Name in keyof Shape]: z.output<Shape[Name]["schema"]>;
};

/** What every function is given: where it listens. */
const runtimeShape = {
  port: setting("PORT", z.coerce.number().int().min(1).max(65_535).default(8080)),
  hostname: setting("listen_address", z.string().default("0.0.0.0")),
};

/** The names that a function's configuration reads: stack.yml must give exactly these. */
export function namesRead(shape: Record<string, Source<z.ZodType>>): { environment: string[]; secrets: string[] } {
  const all = Object.values({ ...runtimeShape, ...shape });
  return {
    environment: all.filter((source) => source.from === "environment").map((source) => source.name),
    secrets: all.filter((source) => source.from === "secret").map((source) => source.name),
  };
}

/**
 * Reads the configuration, or throws one Error that names every value that is missing or wrong (never the
 * value itself: it may be a secret).
 */
export function readConfig<Shape extends Record<string, Source<z.ZodType>>>(
  shape: Shape,
): Configuration<Shape & typeof runtimeShape> {
  const secretsFolder = Deno.env.get("secret_mount_path") ?? "/var/openfaas/secrets";
  const problems: string[] = [];
  const entries = Object.entries({ ...runtimeShape, ...shape } as Record<string, Source<z.ZodType>>).map(
    ([key, { from, name, schema }]) => {
      const where = from === "secret" ? `secret ${name} (a file in ${secretsFolder})` : `setting ${name}`;
      const value = from === "secret" ? readSecret(secretsFolder, name) : Deno.env.get(name);
      const result = schema.safeParse(value);
      if (!result.success) problems.push(`${where}: ${value === undefined ? "is missing" : result.error.issues[0]!.message}`);
      return [key, result.data];
    },
  );
  if (problems.length > 0) throw new Error(`Cannot start: ${problems.join("; ")}`);
  return Object.fromEntries(entries) as Configuration<Shape & typeof runtimeShape>;
}

function readSecret(folder: string, name: string): string | undefined {
  try {
    return Deno.readTextFileSync(`${folder}/${name}`).trim();
  } catch {
    return undefined;
  }
}
