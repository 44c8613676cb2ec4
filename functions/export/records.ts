/** One usage event as its owner sees it: a record of the CSV, or an object with the same names (right.export). */
import { type Cell, csvRecord } from "#shared/csv.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { formatRupiah } from "#shared/money.ts";
import type { UsageRow } from "./schema.ts";

/** Name and cell of each column. `time` is ISO 8601 in UTC, `cost_rupiah` exact to the micro-rupiah. */
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

export function record(row: UsageRow): string {
  return csvRecord(columns.map(([, cell]) => cell(row)));
}

export function fields(row: UsageRow): Record<string, Cell> {
  return Object.fromEntries(columns.map(([name, cell]) => [name, cell(row)]));
}
