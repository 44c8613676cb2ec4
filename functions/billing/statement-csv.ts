/** A statement as a table: its amounts are exact, and add up from the opening to the closing balance. */
import { type Cell, csvRecord, type Figure, lineEnd } from "#shared/csv.ts";
import { formatRupiah } from "#shared/money.ts";
import type { Document } from "./document.ts";
import { boundsOf, inWib } from "./month.ts";
import { type Statement, statementName } from "./statement.ts";

/** What usage costs is negative, as it leaves the balance. `description` is an event's reason or a model. */
const columns = [
  "line", "time", "description", "requests", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens",
  "images", "amount_rupiah",
] as const;

export function statementCsv({ month, openingMicro, events, usage, closingMicro }: Statement): Document {
  const { startMs, endMs } = boundsOf(month);
  const records: Cell[][] = [
    [...columns],
    plain("opening_balance", new Date(startMs), "", openingMicro),
    ...events.map(({ kind, at, reason, amountMicro }) => plain(kind, at, reason, amountMicro)),
    ...usage.map((row): Cell[] => [
      "usage", "", row.model, row.requests, row.promptTokens, row.cachedTokens, row.completionTokens, row.reasoningTokens,
      row.images, exact(-row.costMicro),
    ]),
    plain("closing_balance", new Date(endMs), "", closingMicro),
  ];
  const text = records.map((cells) => csvRecord(cells) + lineEnd).join("");
  return { filename: `${statementName(month)}.csv`, contentType: "text/csv; charset=utf-8; header=present", bytes: Buffer.from(text) };
}

function plain(line: string, time: Date, description: string, micro: bigint): Cell[] {
  return [line, inWib(time), description, "", "", "", "", "", "", exact(micro)];
}

function exact(micro: bigint): Figure {
  return { figure: formatRupiah(micro) };
}
