/**
 * The stack's secrets: random, made once, files that only this account can read. Each function is given a folder
 * with copies of those that stack.yml lists for it and no other, as OpenFaaS mounts them.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { keepInFile, writePrivateFile } from "./data-folder.ts";

/** 256 bits, as text that needs no escaping in a URL. */
const secretBytes = 32;

export interface Secrets {
  /** The value kept under this name; made now when it is new, at random where `make` does not say how. */
  value(name: string, make?: () => string): Promise<string>;
  /** The value as `change` makes it, kept in the place of the former one, which is gone. */
  changed(name: string, change: (value: string) => string): Promise<string>;
}

export async function openSecrets(dataDir: string): Promise<Secrets> {
  const folder = join(dataDir, "secrets");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Both ends of an edge ask for its secret at the same time: the first to ask makes it, the second gets the same.
  const values = new Map<string, Promise<string>>();

  function value(name: string, make = () => randomBytes(secretBytes).toString("base64url")): Promise<string> {
    const known = values.get(name);
    if (known) return known;
    const made = keepInFile(join(folder, name), make);
    values.set(name, made);
    return made;
  }

  return {
    value,
    async changed(name, change) {
      const text = change(await value(name));
      await writePrivateFile(join(folder, name), text);
      values.set(name, Promise.resolve(text));
      return text;
    },
  };
}

/** Fills the folder with exactly these secrets and answers its path. */
export async function mountSecrets(folder: string, values: Record<string, string>): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const [name, value] of Object.entries(values)) await writePrivateFile(join(folder, name), value);
  return folder;
}
