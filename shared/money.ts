/**
 * Money is an integer number of micro-rupiah: a price of 1 micro-rupiah per token is exactly 1 rupiah per
 * million tokens, so no price in the book and no product of one needs rounding.
 *
 * Amounts of one request, hold or lease are safe integers (`number`): the largest, 2^53 - 1 micro-rupiah, is
 * nine billion rupiah. Balances and ledger entries are `bigint` in TypeScript and `bigint` in Postgres.
 */
export type MicroRupiah = number;

/** Micro-rupiah in one rupiah. */
export const microPerRupiah = 1_000_000;

/** The largest amount that one hold or lease can have: above it a `number` would lose units. */
export const holdMicroMax = Number.MAX_SAFE_INTEGER;

/** `1234567n` -> `"1.234567"`: the exact amount in rupiah, for CSV and JSON; never rounded. */
export function formatRupiah(micro: bigint | MicroRupiah): string {
  const amount = BigInt(micro);
  const absolute = amount < 0n ? -amount : amount;
  const whole = absolute / BigInt(microPerRupiah);
  const fraction = (absolute % BigInt(microPerRupiah)).toString().padStart(6, "0");
  return `${amount < 0n ? "-" : ""}${whole}.${fraction}`;
}
