/** The next part of a file: its records as bytes, and what is noted of them. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { createMerkleTree, type MerkleTreeBegun } from "#shared/merkle.ts";
import type { ExportRow } from "./file-queries.ts";
import { idRange } from "./range.ts";
import { eachRecord, endsOf, headerLine, pageBytesMax } from "./records.ts";
import { Filters } from "./schema.ts";
import { createPageAfter, type Page } from "./usage-pages.ts";

export interface FilePart {
  /** In `room`. */
  bytes: Buffer;
  /** The last event that was looked at; null when there are no more. */
  cursorId: string | null;
  firstId: string | null;
  lastId: string | null;
  /** The tree over all records so far. */
  begun: MerkleTreeBegun;
}

/**
 * Pages until `room` has none for another one, which parts are gathered in again and again. Besides it, a page and a hash
 * for each level of the tree are in memory.
 */
export async function gatherPart(database: DatabasePool, row: ExportRow, room: Buffer): Promise<FilePart> {
  const range = idRange({ from: row.from, to: row.to ?? undefined });
  const pageAfter = createPageAfter(database, row.accountId, range, filtersOf(row));
  const tree = createMerkleTree({ size: Number(row.records), subtrees: row.subtrees });
  const isFirst = row.etags.length === 0;
  let { firstId, lastId } = row;
  let cursorId: string | null = isFirst ? range.afterId : row.cursorId;
  let length = isFirst ? headerLine.copy(room) : 0;
  while (cursorId !== null && length + pageBytesMax <= room.length) {
    const { found, endId }: Page = await pageAfter(cursorId);
    eachRecord(found, (from, end) => tree.addFrom(found, from, end));
    length += found.copy(room, length);
    const ends = endsOf(found);
    firstId ??= ends.firstId;
    lastId = ends.lastId ?? lastId;
    cursorId = endId;
  }
  return { bytes: room.subarray(0, length), cursorId, firstId, lastId, begun: tree.begun() };
}

export function filtersOf({ model, keyId, endpoint, statusClass }: Pick<ExportRow, "model" | "keyId" | "endpoint" | "statusClass">): Filters {
  return Filters.parse({
    model: model ?? undefined,
    key_id: keyId ?? undefined,
    endpoint: endpoint ?? undefined,
    status: statusClass === null ? undefined : `${statusClass}xx`,
  });
}
