/** One usage event as its owner sees it: a record of the CSV, or an object with the same names (right.export). */
import { type Cell, csvRecord, lineEnd } from "#shared/csv.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { formatRupiah } from "#shared/money.ts";
import { pageRows } from "./queries.ts";
import type { UsageRow } from "./schema.ts";

/**
 * Name and cell of each column. `time` is ISO 8601 in UTC, `cost_rupiah` exact to the micro-rupiah.
 * findUsagePage() writes the same: Postgres writes a million records faster, and none of them comes to the heap.
 */
const columns: readonly (readonly [string, (row: UsageRow) => Cell])[] = [
  ["time", (row) => new Date(uuidv7TimeMs(row.id)).toISOString()],
  ["request_id", (row) => row.id],
  ["key_id", (row) => row.keyId],
  ["model", (row) => row.model],
  ["endpoint", (row) => row.endpoint],
  ["status", (row) => row.status],
  ["prompt_tokens", (row) => row.promptTokens],
  ["cached_tokens", (row) => row.cachedTokens],
  ["completion_tokens", (row) => row.completionTokens],
  ["reasoning_tokens", (row) => row.reasoningTokens],
  ["images", (row) => row.images],
  ["cost_rupiah", (row) => formatRupiah(row.costMicro)],
  ["latency_ms", (row) => row.latencyMs],
  ["price_version", (row) => row.priceVersion],
];

export const header = csvRecord(columns.map(([name]) => name));

export const headerLine = Buffer.from(header + lineEnd);

export function record(row: UsageRow): string {
  return csvRecord(columns.map(([, cell]) => cell(row)));
}

export function fields(row: UsageRow): Record<string, Cell> {
  return Object.fromEntries(columns.map(([name, cell]) => [name, cell(row)]));
}

/** Bytes of a record: time and ids have 99, a model's name up to 128, the endpoint 18, ten numbers up to 20 each. */
const recordBytesMax = 512;
export const pageBytesMax = pageRows * recordBytesMax;

const timeLength = "2026-05-31T12:34:56.789Z,".length;
const idLength = 36;
const lineFeed = 0x0a;

/** Where each record of a page begins, and ends without its line end. Of a million, not even a view of each is made. */
export function eachRecord(page: Buffer, visit: (from: number, end: number) => void): void {
  for (let from = 0; from < page.length; ) {
    const end = page.indexOf(lineFeed, from);
    visit(from, end - 1);
    from = end + 1;
  }
}

/** The request_id of the record that begins there. */
export function requestIdAt(page: Buffer, from: number): string {
  return page.toString("latin1", from + timeLength, from + timeLength + idLength);
}

/** The ids of the first and the last record; null of a page that has none. */
export function endsOf(page: Buffer): { firstId: string | null; lastId: string | null } {
  if (page.length === 0) return { firstId: null, lastId: null };
  return { firstId: requestIdAt(page, 0), lastId: requestIdAt(page, page.lastIndexOf(lineFeed, page.length - 2) + 1) };
}
