/** A word that cannot occur by chance, the disguises in which it could be stored, and the search for them in files. */
import { randomBytes } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";

export interface Canary {
  /** Put into each content; what stands around it may say where. */
  word: string;
  /** Its disguises, by name. */
  needles: Map<string, Buffer>;
}

/** The word has characters that JSON, URLs and forms write differently. */
export function createCanary(): Canary {
  const word = `Cnry~${randomBytes(12).toString("hex")}/é+`;
  const bytes = Buffer.from(word);
  const core = Buffer.from(word.slice(5, 29));
  const needles = new Map<string, Buffer>([
    // The letters between the special characters, which survive any escaping of those.
    ["plain", core],
    ["url-encoded", Buffer.from(encodeURIComponent(word))],
    ["hex", Buffer.from(core.toString("hex"))],
    ["HEX", Buffer.from(core.toString("hex").toUpperCase())],
    ["reversed", Buffer.from([...core].reverse())],
    ["utf-16", Buffer.from(core.toString(), "utf16le")],
  ]);
  // Base64 of a text depends on where in its groups of three it begins; the first and last groups on its neighbours.
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    needles.set(`base64 at ${shift}`, Buffer.from(encoded.slice(4, -4)));
    needles.set(`base64url at ${shift}`, Buffer.from(encoded.slice(4, -4).replaceAll("+", "-").replaceAll("/", "_")));
  }
  return { word, needles };
}

export interface Finding {
  place: string;
  disguise: string;
  /** What stands around it, so that the leak can be told. */
  around: string;
}

/** Bytes around a finding that are shown. */
const aroundBytes = 60;

export function findIn(canary: Canary, place: string, bytes: Buffer): Finding[] {
  const findings: Finding[] = [];
  for (const [disguise, needle] of canary.needles) {
    const at = bytes.indexOf(needle);
    if (at < 0) continue;
    const around = bytes.subarray(Math.max(0, at - aroundBytes), at + needle.length + aroundBytes);
    findings.push({ place, disguise, around: around.toString("latin1").replace(/[^ -~]/g, ".") });
  }
  return findings;
}

/** Bytes read at once; pieces overlap by more than any needle. */
const pieceBytes = 4 * 1024 * 1024;
const overlapBytes = 1024;

export interface Search {
  /** Files that changed since then; all of them by default. */
  sinceMs?: number;
  /** Folders that were searched already. */
  except?: readonly string[];
}

/** Searches names and contents of the files under `folder`; links are not followed. */
export function findInFolder(canary: Canary, folder: string, search: Search = {}): { findings: Finding[]; bytes: number } {
  const total = { findings: [] as Finding[], bytes: 0 };
  if (search.except?.includes(folder)) return total;
  const buffer = Buffer.allocUnsafe(pieceBytes);
  const folders = [folder];
  for (const each of folders) {
    for (const entry of entriesOf(each)) {
      const path = join(each, entry);
      const status = statusOf(path);
      total.findings.push(...findIn(canary, `name of ${path}`, Buffer.from(entry)));
      if (status?.isDirectory() && !search.except?.includes(path)) folders.push(path);
      if (!status?.isFile() || status.mtimeMs < (search.sinceMs ?? 0)) continue;
      total.findings.push(...findInFile(canary, path, buffer));
      total.bytes += status.size;
    }
  }
  return total;
}

function findInFile(canary: Canary, path: string, buffer: Buffer): Finding[] {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    // Removed meanwhile.
    return [];
  }
  try {
    for (let position = 0; ; position += pieceBytes - overlapBytes) {
      const bytes = readSync(file, buffer, 0, pieceBytes, position);
      const found = findIn(canary, path, buffer.subarray(0, bytes));
      if (found.length > 0 || bytes < pieceBytes) return found;
    }
  } finally {
    closeSync(file);
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function statusOf(path: string) {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
