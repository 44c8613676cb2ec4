/** The policy rows in the words of the page: each promise and its limit, in each language that has a translation. */
import type { Limit, PolicyRow } from "#shared/policy.ts";
import { indonesian } from "./policy-indonesian.ts";
import type { PolicyText } from "./site.ts";

export function policyTexts(rows: readonly PolicyRow[]): PolicyText[] {
  return rows.map(({ id, promise, limit }) => ({
    id,
    promise: { en: promise, id: indonesian[promise] },
    ...(limit && { limit: { en: limitInEnglish(limit), id: limitInIndonesian(limit) } }),
  }));
}

/** The English sentences of the rows that a language must translate. */
export function sentencesOf(rows: readonly PolicyRow[]): string[] {
  return rows.flatMap(({ promise, limit }) => (limit?.since ? [promise, limit.since] : [promise]));
}

function limitInEnglish({ amount, unit, since, atLeast }: Limit): string {
  if (unit === "TLS version") return `TLS ${amount} or newer`;
  if (unit === "cookies") return `${amount} cookies`;
  if (since === undefined) return quantity("en", amount, unit);
  if (amount === 0) return "at once";
  return `${atLeast ? "at least " : ""}${quantity("en", amount, unit)} after ${since}`;
}

function limitInIndonesian({ amount, unit, since, atLeast }: Limit): string | undefined {
  if (unit === "TLS version") return `TLS ${amount} atau lebih baru`;
  if (unit === "cookies") return `${amount} cookie`;
  if (since === undefined) return quantity("id", amount, unit);
  if (amount === 0) return "seketika";
  return indonesian[since] && `${atLeast ? "sekurangnya " : ""}${quantity("id", amount, unit)} setelah ${indonesian[since]}`;
}

const unitNames = { bytes: "byte", hours: "hour", days: "day", years: "year" } as const;

function quantity(language: "en" | "id", amount: number, unit: keyof typeof unitNames): string {
  return new Intl.NumberFormat(language, { style: "unit", unit: unitNames[unit], unitDisplay: "long" }).format(amount);
}
