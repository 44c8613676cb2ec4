/**
 * Deletes from the object store what no row of ours stands for: files of exports that are over or whose account was
 * erased, and uploads that nobody goes on with. So whatever ends a row ends its file (keep.usage, right.delete).
 */
import type { Sql } from "#shared/db.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import type { ObjectStore } from "#shared/object-store.ts";
import { livingExports } from "./file-queries.ts";

/** Answers how many files and uploads it deleted. */
export async function sweepStore(connection: Sql, store: ObjectStore): Promise<number> {
  let removed = 0;
  for (let keys = await store.keysAfter(undefined); keys.length > 0; keys = await store.keysAfter(keys.at(-1))) {
    const living = await livingAmong(connection, keys);
    for (const key of keys) {
      if (living.has(key)) continue;
      await store.remove(key);
      removed += 1;
    }
  }
  const uploads = await store.uploads();
  const living = await livingAmong(connection, uploads.map(({ key }) => key));
  for (const upload of uploads) {
    if (living.get(upload.key)) continue;
    await store.endUpload(upload);
    removed += 1;
  }
  return removed;
}

/** Each export that lives, and whether it is still being built. */
async function livingAmong(connection: Sql, keys: readonly string[]): Promise<Map<string, boolean>> {
  const ids = keys.filter((key) => !Number.isNaN(uuidv7TimeMs(key)));
  if (ids.length === 0) return new Map();
  const rows = await livingExports(connection, ids);
  return new Map(rows.map(({ id, unfinished }) => [id, unfinished]));
}
