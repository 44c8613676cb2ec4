/** A statement as the dashboard, or a program, reads it: amounts in rupiah, as exact decimal strings. */
import { formatRupiah } from "#shared/money.ts";
import { inWib } from "./month.ts";
import type { Statement } from "./statement.ts";

export function statementObject({ month, openingMicro, events, usage, closingMicro }: Statement) {
  return {
    object: "statement",
    month,
    currency: "IDR",
    opening_balance: formatRupiah(openingMicro),
    events: events.map(({ at, kind, reason, amountMicro }) => ({ time: inWib(at), kind, reason, amount: formatRupiah(amountMicro) })),
    usage: usage.map((row) => ({
      model: row.model,
      // No month comes near 2^53 of anything that is counted.
      requests: Number(row.requests),
      input_tokens: Number(row.promptTokens),
      cached_input_tokens: Number(row.cachedTokens),
      output_tokens: Number(row.completionTokens),
      reasoning_tokens: Number(row.reasoningTokens),
      images: Number(row.images),
      cost: formatRupiah(row.costMicro),
    })),
    closing_balance: formatRupiah(closingMicro),
  };
}
