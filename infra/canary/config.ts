/** What an operator points the scanner at: one JSON file, which names the files of its secrets. */
import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { z } from "zod";

const file = z.string().refine(isAbsolute, "must be an absolute path");
/** Names come out in the result, so they are words and nothing else. */
const name = z.string().regex(/^[a-z0-9][a-z0-9 -]{0,63}$/, "must be lower-case letters, digits, spaces and hyphens, 64 at most");
const httpAddress = z.url({ protocol: /^https?$/, error: "must be an http or https address" });

/** A control that is always there, such as the name of a metric or a field of a log. */
const knownText = z.strictObject({ text: z.string().min(4).max(200) });

const Folder = z.strictObject({
  kind: z.literal("folder"),
  name,
  /** A folder, or one file. */
  path: file,
  /**
   * What proves that it was searched: the id of the scan's last call, a word in the path of a call, mail to the account
   * since the scan began, or a file that the scan puts there itself.
   */
  control: z.union([z.enum(["request-id", "path", "mail", "file"]), knownText]),
  /** Folders in it that are stores of their own. */
  except: z.array(file).default([]),
  /** Leave out files that were not written since the scan began: they cannot hold its canary. */
  recentOnly: z.boolean().default(false),
});

const Page = z.strictObject({
  kind: z.literal("url"),
  name,
  url: httpAddress,
  control: z.union([z.enum(["request-id", "path"]), knownText]),
  /** Holds the value of the header `authorization`. */
  authorizationFile: file.optional(),
});

/** Every object of a bucket; the control is an object that the scan puts there and removes. */
const Objects = z.strictObject({
  kind: z.literal("object-store"),
  name,
  url: httpAddress,
  bucket: z.string().min(3).max(63),
  region: z.string().default("us-east-1"),
  /** Holds `ACCESS-KEY:SECRET`. */
  loginFile: file,
});

export type FolderStore = z.output<typeof Folder>;
export type PageStore = z.output<typeof Page>;
export type ObjectsStore = z.output<typeof Objects>;

export const Config = z.strictObject({
  /** Of the public API, as customers reach it: `https://api.example.com`. */
  url: httpAddress,
  /** Holds an API key of an account that looks like all others. */
  apiKeyFile: file,
  /** That account's address, to which mail with the control `mail` is asked for. */
  email: z.email().optional(),
  /** Holds the address of a database login that may CHECKPOINT: what is in memory is written to files before the search. */
  checkpointUrlFile: file.optional(),
  /** Holds the address of the login epithre_canary: the result is put into the evidence. */
  recordUrlFile: file.optional(),
  /** How long a store may take until its control is there. */
  patienceSeconds: z.int().min(0).max(3_600).default(120),
  stores: z
    .array(z.discriminatedUnion("kind", [Folder, Page, Objects]))
    .min(1)
    .max(500)
    .refine((stores) => new Set(stores.map((store) => store.name)).size === stores.length, "must have names that differ"),
  /** What holds content or could, and cannot be searched. */
  cannotSearch: z.array(name).default(["engine memory", "backups"]),
});
export type Config = z.output<typeof Config>;

/** Throws one sentence that names what is wrong, and quotes no value. */
export function readConfig(path: string): Config {
  const found = Config.safeParse(parsed(readText(path)));
  if (found.success) return checked(found.data);
  const problems = found.error.issues.map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`);
  throw new Error(`Cannot scan: the configuration is wrong: ${problems.join("; ")}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("Cannot scan: the configuration is no JSON");
  }
}

function checked(config: Config): Config {
  if (!config.email && config.stores.some((store) => "control" in store && store.control === "mail")) {
    throw new Error("Cannot scan: the configuration is wrong: email: is needed by the control `mail`");
  }
  return config;
}

/** Without the line's end that editors add. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    throw new Error(`Cannot scan: ${path} cannot be read`);
  }
}
