/** One usage event as its owner sees it: a record of the CSV, or an object with the same names (right.export). */
import { uuidv7TimeMs } from "#shared/ids.ts";
import { formatRupiah } from "#shared/money.ts";
import { type Cell, csvRecord } from "./csv.ts";
import type { UsageRow } from "./schema.ts";

/**
 * Name and cell of each column. `time` is ISO 8601 in UTC, `cost_rupiah` exact to the micro-rupiah. The columns after the
 * first two are what findUsagePage() answers too: Postgres writes a million of them faster.
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

export function record(row: UsageRow): string {
  return csvRecord(columns.map(([, cell]) => cell(row)));
}

export function fields(row: UsageRow): Record<string, Cell> {
  return Object.fromEntries(columns.map(([name, cell]) => [name, cell(row)]));
}

/** Characters of an id, and of a time up to its milliseconds. */
const idLength = 36;
const secondLength = "2026-05-31T12:34:56.".length;

/** The records of a page, from its lines without time. Events of the same second are many: its text is made once. */
export function timedRecords(lines: string): string[] {
  if (lines === "") return [];
  let second = Number.NaN;
  let start = "";
  return lines.split("\n").map((line) => {
    const timeMs = uuidv7TimeMs(line.slice(0, idLength));
    const itsSecond = Math.floor(timeMs / 1_000);
    if (itsSecond !== second) {
      second = itsSecond;
      start = new Date(timeMs).toISOString().slice(0, secondLength);
    }
    return `${start}${String(timeMs % 1_000).padStart(3, "0")}Z,${line}`;
  });
}

/** The request_id of a record. */
export function requestIdOf(text: string): string {
  const from = text.indexOf(",") + 1;
  return text.slice(from, from + idLength);
}
