/** What the files of a Postgres hold, whatever its tables say: rows, and what rows that have gone left behind. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Each form that a word takes in a file: its bytes, and these as SQL shows them, in hexadecimal. */
export function formsOf(word: string | Buffer): Buffer[] {
  const bytes = Buffer.from(word as string);
  return [bytes, Buffer.from(bytes.toString("hex"))];
}

/** 16 bytes in a row; text in all else. */
export function formsOfId(id: string): Buffer[] {
  return [Buffer.from(id), ...formsOf(Buffer.from(id.replaceAll("-", ""), "hex"))];
}

/** Of each name, the files of the folder (their paths in it) that hold one of its forms; segments of the log are 16 MB, the largest. */
export function filesThatHold(folder: string, wanted: Record<string, Buffer[]>): Record<string, string[]> {
  const found: Record<string, string[]> = Object.fromEntries(Object.keys(wanted).map((name) => [name, []]));
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    for (const [name, forms] of Object.entries(wanted)) {
      if (forms.some((form) => bytes.includes(form))) found[name]!.push(path.slice(folder.length + 1));
    }
  }
  return found;
}
