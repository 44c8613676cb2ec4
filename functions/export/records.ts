/** One usage event as its owner sees it: a record of the CSV, or an object with the same names (right.export). */
import { type Cell, csvRecord, lineEnd } from "#shared/csv.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { formatRupiah } from "#shared/money.ts";
import { pageRows } from "./queries.ts";
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

export const headerLine = Buffer.from(header + lineEnd);

export function record(row: UsageRow): string {
  return csvRecord(columns.map(([, cell]) => cell(row)));
}

export function fields(row: UsageRow): Record<string, Cell> {
  return Object.fromEntries(columns.map(([name, cell]) => [name, cell(row)]));
}

/** Some records as they go into a file, each with its line end. */
export interface Records {
  bytes: Buffer;
  firstId: string | null;
  lastId: string | null;
}

/** Bytes of a record: ids and time have 99, a model's name up to 128, the endpoint 18, ten numbers up to 20 each. */
const recordBytesMax = 512;
export const pageBytesMax = pageRows * recordBytesMax;

const idLength = 36;
const timeLength = "2026-05-31T12:34:56.789Z,".length;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

/**
 * The records of a page from its lines, which lack the time: that is written from the id, for less than it would take
 * Postgres. Nothing is made for a single record, and one buffer for all of them: of a million, what is thrown away would
 * fill the memory for a while. The lines lie at the end of the buffer, and each moves to its place behind its time.
 * They are written into `room` where it is given.
 */
export function timedRecords(lines: Buffer, room?: Buffer): Records {
  if (lines.length === 0) return { bytes: Buffer.alloc(0), firstId: null, lastId: null };
  // A line feed stands between the lines, CRLF behind each record.
  const length = lines.length + 1 + linesIn(lines) * (timeLength + 1);
  const bytes = room ? room.subarray(0, length) : Buffer.allocUnsafe(length);
  if (bytes.length < length) throw new RangeError("Cannot write records: there is no room for them");
  let from = length - lines.length;
  lines.copy(bytes, from);
  const time = Buffer.alloc(timeLength);
  let second = Number.NaN;
  let at = 0;
  while (from < bytes.length) {
    const found = bytes.indexOf(lineFeed, from);
    const end = found === -1 ? bytes.length : found;
    const timeMs = idTimeMs(bytes, from);
    // Events of the same second are many: of its text only the milliseconds change.
    if (Math.floor(timeMs / 1_000) === second) writeMs(time, timeMs % 1_000);
    else time.write(`${new Date(timeMs).toISOString()},`, "latin1");
    second = Math.floor(timeMs / 1_000);
    time.copy(bytes, at);
    bytes.copyWithin(at + timeLength, from, end);
    at += timeLength + end - from;
    bytes[at++] = carriageReturn;
    bytes[at++] = lineFeed;
    from = end + 1;
  }
  const idAt = (start: number) => lines.toString("latin1", start, start + idLength);
  return { bytes, firstId: idAt(0), lastId: idAt(lines.lastIndexOf(lineFeed) + 1) };
}

/** Where each record begins, and ends without its line end. */
export function eachRecord({ bytes }: Records, visit: (from: number, end: number) => void): void {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(lineFeed, from);
    visit(from, end - 1);
    from = end + 1;
  }
}

/** The request_id of the record that begins there. */
export function requestIdAt({ bytes }: Records, from: number): string {
  return bytes.toString("latin1", from + timeLength, from + timeLength + idLength);
}

/** The time of an id that stands at this place: its first 8 and its next 4 digits, with a hyphen between. */
function idTimeMs(bytes: Buffer, from: number): number {
  let timeMs = 0;
  for (let at = from; at < from + 13; at += 1) {
    if (at === from + 8) continue;
    const character = bytes[at]!;
    timeMs = timeMs * 16 + (character < 0x3a ? character - 0x30 : character - 0x57);
  }
  return timeMs;
}

function writeMs(time: Buffer, ms: number): void {
  const at = timeLength - "789Z,".length;
  time[at] = 0x30 + Math.floor(ms / 100);
  time[at + 1] = 0x30 + (Math.floor(ms / 10) % 10);
  time[at + 2] = 0x30 + (ms % 10);
}

function linesIn(text: Buffer): number {
  let count = 1;
  for (let at = text.indexOf(lineFeed); at !== -1; at = text.indexOf(lineFeed, at + 1)) count += 1;
  return count;
}
