/** The next part of a file: its records as bytes, and what is noted of them. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { createMerkleTree, type MerkleTreeBegun } from "#shared/merkle.ts";
import type { ExportRow } from "./file-queries.ts";
import { idRange } from "./range.ts";
import { header, requestIdOf } from "./records.ts";
import { Filters } from "./schema.ts";
import { createPageAfter } from "./usage-pages.ts";
import { csvBytes } from "./usage-stream.ts";

export interface FilePart {
  bytes: Buffer;
  /** The last event that was looked at; null when there are no more. */
  cursorId: string | null;
  firstId: string | null;
  lastId: string | null;
  /** The tree over all records so far. */
  begun: MerkleTreeBegun;
}

/** Pages until there are `bytesMin`: a part, a page and a hash for each level of the tree are in memory. */
export async function gatherPart(database: DatabasePool, row: ExportRow, bytesMin: number): Promise<FilePart> {
  const range = idRange({ from: row.from, to: row.to ?? undefined });
  const pageAfter = createPageAfter(database, row.accountId, range, filtersOf(row));
  const tree = createMerkleTree({ size: Number(row.records), subtrees: row.subtrees });
  const isFirst = row.etags.length === 0;
  const chunks = isFirst ? [csvBytes([header])] : [];
  let { firstId, lastId } = row;
  let cursorId: string | null = isFirst ? range.afterId : row.cursorId;
  let bytes = 0;
  while (cursorId !== null && bytes < bytesMin) {
    const { found, endId } = await pageAfter(cursorId);
    const chunk = csvBytes(found);
    for (const record of found) tree.add(Buffer.from(record));
    chunks.push(chunk);
    bytes += chunk.length;
    if (found.length > 0) {
      firstId ??= requestIdOf(found[0]!);
      lastId = requestIdOf(found.at(-1)!);
    }
    cursorId = endId;
  }
  return { bytes: Buffer.concat(chunks), cursorId, firstId, lastId, begun: tree.begun() };
}

export function filtersOf({ model, keyId, endpoint, statusClass }: Pick<ExportRow, "model" | "keyId" | "endpoint" | "statusClass">): Filters {
  return Filters.parse({
    model: model ?? undefined,
    key_id: keyId ?? undefined,
    endpoint: endpoint ?? undefined,
    status: statusClass === null ? undefined : `${statusClass}xx`,
  });
}
