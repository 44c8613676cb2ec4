/** Money and time in words. */

/** Micro-rupiah, as text or number -> `Rp 1,234.5`; exact. */
export function rupiah(micro) {
  const amount = BigInt(micro);
  const digits = String(amount < 0n ? -amount : amount).padStart(7, "0");
  const whole = digits.slice(0, -6).replace(/\B(?=(\d{3})+$)/g, ",");
  const fraction = digits.slice(-6).replace(/0+$/, "");
  return `${amount < 0n ? "−" : ""}Rp ${whole}${fraction && `.${fraction}`}`;
}

/** `1,234.5` or `-20` rupiah -> micro-rupiah as text. Throws when it is no amount. */
export function microOf(text) {
  const [, sign, whole, fraction = ""] = /^(-?)(\d{1,12})(?:\.(\d{1,6}))?$/.exec(text.replaceAll(",", "").trim()) ?? [];
  if (whole === undefined) throw new Error("Cannot read amount: write rupiah such as 150000 or -2500.5");
  return String(BigInt(`${sign}${whole}${fraction.padEnd(6, "0")}`));
}

/** UTC to the second. */
export const time = (text) => (text ? new Date(text).toISOString().slice(0, 19).replace("T", " ") : null);
export const words = (name) => name.replaceAll("_", " ");
export const share = (counted, of) => `${counted.toLocaleString("en")} of ${of.toLocaleString("en")} (${Math.round((counted / of) * 100)} %)`;
