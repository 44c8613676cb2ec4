/** Times and sizes in the reader's language. */
import type { Language } from "#shared/languages.ts";
import { html, type Html } from "./html.ts";

export interface Format {
  /** `3 days`, `5 hours`, `12 minutes`: whichever says it in few digits. */
  span(hours: number): string;
  /** `5 minutes ago`. */
  ago(at: Date): Html;
  /** `25 Nov 2026, 11:03 UTC`. */
  time(at: Date): string;
  date(at: Date): string;
  bytes(count: number): string;
}

const minuteMs = 60_000;

export function createFormat(language: Language, now: Date): Format {
  const ago = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  const day = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" });
  const number = (value: number, unit: string) => new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 }).format(value);
  const time = (at: Date) => `${moment.format(at)} UTC`;

  return {
    span: (hours) => number(...inUnit(hours)),
    ago: (at) => html`<time datetime="${at.toISOString()}" title="${time(at)}">${ago.format(...past(inUnit((now.getTime() - at.getTime()) / 60 / minuteMs)))}</time>`,
    time,
    date: (at) => day.format(at),
    bytes: (count) => new Intl.NumberFormat(language, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 }).format(count / 1_000_000),
  };
}

type Amount = [number, "year" | "day" | "hour" | "minute"];

function inUnit(hours: number): Amount {
  if (hours >= 2 * 365 * 24) return [Math.round(hours / 24 / 365), "year"];
  if (hours >= 48) return [Math.floor(hours / 24), "day"];
  if (hours >= 2) return [Math.floor(hours), "hour"];
  return [Math.max(0, Math.floor(hours * 60)), "minute"];
}

const past = ([amount, unit]: Amount): Amount => [-amount, unit];
