/** Amounts in exact figures: as people type them, and as the API writes them. It knows nothing of the page. */

/** One separator throughout, a dot, a comma or a space, in front of each three digits; or none. */
const wholeRupiah = /^(?:rp\.?\s*)?(\d{1,3}(?:([.,\s])\d{3}(?:\2\d{3})*)?|\d+)$/i;

/** Whole rupiah of what was typed, such as `100000`, `100.000` or `Rp 100,000`; undefined for anything else. */
export function readRupiah(typed) {
  const digits = wholeRupiah.exec(typed.trim())?.[1].replace(/\D/g, "");
  return digits !== undefined && Number.isSafeInteger(Number(digits)) ? Number(digits) : undefined;
}

/** The tax on whole rupiah of credit, in whole rupiah, rounded as on an invoice (half up). `percent` is text such as `11`. */
export function ppnOf(rupiah, percent) {
  const basisPoints = BigInt(Math.round(Number(percent) * 100));
  return Number((BigInt(rupiah) * basisPoints + 5_000n) / 10_000n);
}

/** What of a balance is set aside for requests that run, as decimal text. Both amounts have six decimals. */
export function heldOf({ amount, available }) {
  const micro = (text) => BigInt(text.replace(".", ""));
  const digits = String(micro(amount) - micro(available)).padStart(7, "0");
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

/** What to type into a bank's form: `111000` of `111000.000000`. */
export const plainAmount = (amount) => amount.replace(/\.0+$/, "");

/**
 * The Idempotency-Key of each top-up whose answer has not come: asking again for the amount is asking for the same
 * invoice, whatever was asked in between.
 */
export function createRequestKeys(makeKey = () => crypto.randomUUID()) {
  const keys = new Map();
  return {
    keyFor(rupiah) {
      if (!keys.has(rupiah)) keys.set(rupiah, makeKey());
      return keys.get(rupiah);
    },
    /** Its invoice is known: another one for this amount is another top-up. */
    answered: (rupiah) => keys.delete(rupiah),
    clear: () => keys.clear(),
  };
}
