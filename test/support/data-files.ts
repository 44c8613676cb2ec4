/** What the files of a Postgres hold, whatever its tables say: rows, and what rows that have gone left behind. */
import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";

/** Each form that a word takes in a file: its bytes, and these in hexadecimal. */
export function formsOf(word: string): Buffer[] {
  return formsOfBytes(Buffer.from(word));
}

/** Bytes, and the text that SQL shows them as. */
export function formsOfBytes(bytes: Buffer): Buffer[] {
  const hex = bytes.toString("hex");
  return [bytes, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
}

/** 16 bytes in a row; text in all else. */
export function formsOfId(id: string): Buffer[] {
  return [Buffer.from(id), ...formsOfBytes(Buffer.from(id.replaceAll("-", ""), "hex"))];
}

/** Of each name, the files of the folder (their paths in it) that hold one of its forms. */
export async function filesThatHold(folder: string, wanted: Record<string, Buffer[]>): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = Object.fromEntries(Object.keys(wanted).map((name) => [name, []]));
  const overlap = Math.max(...Object.values(wanted).flat().map(({ length }) => length));
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const missing = new Set(Object.keys(wanted));
    let rest = Buffer.alloc(0);
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 22 })) {
      const bytes = Buffer.concat([rest, piece as Buffer]);
      for (const name of missing) {
        if (!wanted[name]!.some((form) => bytes.includes(form))) continue;
        missing.delete(name);
        found[name]!.push(path.slice(folder.length + 1));
      }
      rest = bytes.subarray(Math.max(0, bytes.length - overlap));
    }
  }
  return found;
}
