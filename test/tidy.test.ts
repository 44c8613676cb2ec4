/** Rules of this repository that a reader would otherwise have to remember. Each proves itself by an example that breaks it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { databaseFunctions } from "#infra/local/migrate.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const isText = /\.(ts|js|json|sql|sh|py|md|yml|yaml|html|css|toml|npmrc|Dockerfile)$|^[^.]+$/;
/** Lines of one file of code: a file that needs more has two stories. Tests may list more cases. */
const codeLinesMax = 400;
const testLinesMax = 600;

interface Source {
  /** From the root of the repository. */
  path: string;
  text: string;
}

const sources: Source[] = ["functions", "shared", "infra", "test", ".ci"]
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
  .concat(readdirSync(root, { withFileTypes: true }))
  .filter((entry) => entry.isFile() && isText.test(entry.name))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  .filter((path) => !path.includes("node_modules"))
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

/** `functions/proxy/leases.ts` -> proxy. */
const functionOf = (path: string) => /^functions\/([^/]+)\//.exec(path)?.[1];
const isProduct = (path: string) => path.startsWith("functions/") || path.startsWith("shared/");
const isCode = (path: string) => /\.(ts|js|sql)$/.test(path);

function imports({ path, text }: Source): string[] {
  const specifiers = [...text.matchAll(/(?:from|import|import\()\s*"([^"]+)"/g)].map(([, specifier]) => specifier!);
  return specifiers.map((specifier) =>
    specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : specifier.replace(/^#/, ""),
  );
}

/** Written in two parts, so that this file does not break its own rule. */
const registryHosts = ["registry.npmjs" + ".org", "registry.yarnpkg" + ".com", "npm.pkg.github" + ".com", "pypi" + ".org/simple"];

interface Rule {
  breaks(source: Source): boolean;
  example: Source;
}

const rules: Record<string, Rule> = {
  "functions import nothing of each other but the shapes in schema.ts": {
    breaks: (source) =>
      functionOf(source.path) !== undefined &&
      imports(source).some((path) => {
        const other = functionOf(path);
        return other !== undefined && other !== functionOf(source.path) && path !== `functions/${other}/schema.ts`;
      }),
    example: { path: "functions/proxy/handler.ts", text: 'import { findVerdicts } from "../key-auth/queries.ts";' },
  },
  "shared imports no function, and the product nothing of infra or test": {
    breaks: (source) =>
      isProduct(source.path) &&
      imports(source).some((path) => /^(infra|test)\//.test(path) || (source.path.startsWith("shared/") && functionOf(path))),
    example: { path: "shared/db.ts", text: 'import { migrate } from "#infra/local/migrate.ts";' },
  },
  "only shared/log.ts writes to the output": {
    breaks: ({ path, text }) => isProduct(path) && isCode(path) && path !== "shared/log.ts" && /\bconsole\s*\.|process\.stdout/.test(text),
    example: { path: "functions/proxy/handler.ts", text: "console.error(thrown);" },
  },
  "SQL is never put together from strings": {
    breaks: ({ path, text }) => isProduct(path) && /\.unsafe\s*\(/.test(text),
    example: { path: "functions/billing/queries.ts", text: "sql.unsafe(`select ${column}`)" },
  },
  "only shared/config.ts reads the environment": {
    breaks: ({ path, text }) => isProduct(path) && isCode(path) && path !== "shared/config.ts" && /process\.env|Deno\.env/.test(text),
    example: { path: "functions/export/main.ts", text: 'const url = process.env["key_auth_url"];' },
  },
  "no file names a registry: whoever installs has their own": {
    breaks: ({ text }) => registryHosts.some((host) => text.includes(host)),
    example: { path: "package-lock.json", text: `"resolved": "https://${registryHosts[0]}/zod"` },
  },
  "files are short enough to be read": {
    // The dump of the schema is compared, not read from top to bottom.
    breaks: ({ path, text }) =>
      isCode(path) && path !== "infra/db/schema.sql" && text.split("\n").length > (path.startsWith("test/") ? testLinesMax : codeLinesMax) + 1,
    example: { path: "functions/proxy/handler.ts", text: "\n".repeat(codeLinesMax + 1) },
  },
};

describe.each(Object.entries(rules))("%s", (_, { breaks, example }) => {
  test("in all files", () => {
    expect(sources.filter(breaks).map(({ path }) => path)).toEqual([]);
  });

  test("and the rule finds what breaks it", () => {
    expect(breaks(example)).toBe(true);
  });
});

/** These take no body, from nobody. */
const withoutSchema = ["audit-seal", "dashboard", "policy", "purge"];

function expectedFiles(name: string): string[] {
  const hasDatabase = (databaseFunctions as readonly string[]).includes(name);
  return [
    "main.ts",
    "handler.ts",
    "README.md",
    "permissions.json",
    ...(hasDatabase ? ["queries.ts"] : []),
    ...(withoutSchema.includes(name) ? [] : ["schema.ts"]),
  ];
}

const functionNames = readdirSync(join(root, "functions"));

describe("a function's folder", () => {
  test.each(functionNames)("functions/%s has the shape of all of them", (name) => {
    const files = readdirSync(join(root, "functions", name));
    expect(expectedFiles(name).filter((file) => !files.includes(file))).toEqual([]);
    if (!expectedFiles(name).includes("queries.ts")) expect(files).not.toContain("queries.ts");
  });

  test.each(functionNames)("functions/%s/main.ts only wires: it exports nothing and ends in run()", (name) => {
    const text = readFileSync(join(root, "functions", name, "main.ts"), "utf8");
    expect(text).not.toMatch(/^export /m);
    expect(text).toMatch(/^run\(async \(\) => \{[\s\S]*^\}\);\n$/m);
  });

  test.each(functionNames)("functions/%s/README.md says who calls, what is called, which tables and promises", (name) => {
    const text = readFileSync(join(root, "functions", name, "README.md"), "utf8");
    for (const heading of ["**Called by**", "**Calls**", "**Tables**", "**Policy rows**"]) expect(text).toContain(heading);
  });
});
