/** Searches one store for the canary and for its control; keeps places and disguises, never what stands there. */
import { createReadStream, lstatSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type Canary, type Disguise, findIn, overlapBytes } from "./canary.ts";

export interface Finding {
  place: string;
  disguise: Disguise;
}

/** What proves that a store was read: any of these, as the store's own write path left it. */
export interface Control {
  forms: readonly Buffer[];
  /** Counts only where something was written since, in milliseconds since 1970. */
  sinceMs?: number;
}

export interface Searched {
  bytes: number;
  findings: Finding[];
  hasControl: boolean;
  /** Files and folders that the system did not let us read. */
  unreadable: number;
}

export interface Search extends Searched {
  /** `writtenMs` is when the place was last written to, where that is known. */
  read(place: string, chunks: AsyncIterable<Buffer> | Iterable<Buffer>, writtenMs?: number): Promise<void>;
}

/** `known` are findings of an earlier search of the same store: what was there once was stored. */
export function createSearch(canary: Canary, control?: Control, known: Finding[] = []): Search {
  const search: Search = { bytes: 0, findings: [...known], hasControl: false, unreadable: 0, read };

  async function read(place: string, chunks: AsyncIterable<Buffer> | Iterable<Buffer>, writtenMs = Infinity): Promise<void> {
    const forms = control && writtenMs >= (control.sinceMs ?? 0) ? control.forms : [];
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of chunks) {
      const bytes = Buffer.concat([rest, chunk]);
      for (const disguise of findIn(canary, bytes)) note(place, disguise);
      search.hasControl ||= forms.some((form) => bytes.includes(form));
      search.bytes += chunk.length;
      rest = bytes.subarray(-overlapBytes);
    }
  }

  /** Once for each place, however often it stands there. */
  function note(place: string, disguise: Disguise): void {
    if (!search.findings.some((one) => one.place === place && one.disguise === disguise)) search.findings.push({ place, disguise });
  }

  return search;
}

/** Bytes read at once. */
const chunkBytes = 4 * 1024 * 1024;

/** Milliseconds: file systems note when a file was written by a coarser clock than the one that we read. */
const clockSlackMs = 2_000;

export interface FolderSearch {
  /** Only files that were written since, in milliseconds since 1970. */
  sinceMs?: number;
  /** Folders that are searched elsewhere, or not at all. */
  except?: readonly string[];
}

/** Names and contents of the files under `path`, which may be a file itself. Links in it are not followed. */
export async function searchFolder(search: Search, path: string, { sinceMs = 0, except = [] }: FolderSearch = {}): Promise<void> {
  const pending = [path];
  for (const place of pending) {
    if (except.includes(place)) continue;
    try {
      // Synchronous: of a hundred thousand files most are only looked at, and nothing else waits for this process.
      const status = place === path ? statSync(place) : lstatSync(place);
      if (place !== path) await search.read(`name of ${place}`, [Buffer.from(basename(place))]);
      if (status.isDirectory()) pending.push(...readdirSync(place).map((name) => join(place, name)));
      const writtenMs = status.mtimeMs + clockSlackMs;
      if (status.isFile() && writtenMs >= sinceMs) await search.read(place, createReadStream(place, { highWaterMark: chunkBytes }), writtenMs);
    } catch (thrown) {
      // What was removed meanwhile is no longer there to be found.
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") search.unreadable += 1;
    }
  }
}
