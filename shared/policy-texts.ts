/** The policy rows in the words of the pages: each promise and its limit, in each language that has a translation. */
import type { Translated } from "./languages.ts";
import type { Limit, PolicyRow, Proof } from "./policy.ts";
import { indonesian } from "./policy-indonesian.ts";

/** A row of the policy data, as a page shows it. */
export interface PolicyText {
  id: string;
  promise: Translated;
  limit?: Translated;
}

export function policyTexts(rows: readonly PolicyRow[]): PolicyText[] {
  return rows.map(({ id, promise, limit }) => ({
    id,
    promise: { en: promise, id: indonesian[promise] },
    ...(limit && { limit: { en: limitInEnglish(limit), id: limitInIndonesian(limit) } }),
  }));
}

/** The English sentences of the rows that a language must translate. */
export function sentencesOf(rows: readonly PolicyRow[]): string[] {
  return rows.flatMap(({ promise, limit, proof }) => [promise, ...(limit?.since ? [limit.since] : []), wordsOf(proof)]);
}

/** How a promise is shown to be kept. */
export function proofText(proof: Proof): Translated {
  return { en: wordsOf(proof), id: indonesian[wordsOf(proof)] };
}

function wordsOf(proof: Proof): string {
  if (proof.kind === "measured") return proof.what;
  return proof.kind === "configured" ? proof.enforcedBy : proof.role;
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
