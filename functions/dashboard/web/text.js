/** The page's words. The function filled them in for the first paint; here they change in place. */

let strings = {};
export let language = document.documentElement.lang;

/** The text of `key`, with `{name}` replaced by `values.name`. */
export function t(key, values = {}) {
  return (strings[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const has = (key) => key in strings;

export async function useLanguage(wanted) {
  const response = await fetch(new URL(`text.${wanted}.json`, import.meta.url), { credentials: "omit" });
  if (!response.ok) throw new Error("Cannot load the language: try again");
  strings = await response.json();
  language = wanted;
  document.documentElement.lang = wanted;
  fillPage();
}

function fillPage() {
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const name of ["aria-label", "placeholder", "content", "data-empty"]) {
    for (const element of document.querySelectorAll(`[data-t-${name}]`)) {
      element.setAttribute(name, t(element.getAttribute(`data-t-${name}`)));
    }
  }
}

export const number = (value, options = {}) => new Intl.NumberFormat(language, options).format(value);

/** Rupiah to the micro-rupiah. `amount` may be a decimal string, which Intl formats without rounding it to a double. */
export function rupiah(amount, digitsMin = 0) {
  return rupiahFormat(digitsMin).format(amount);
}

/** The same in two parts, so that the page can set the fraction smaller. */
export function rupiahParts(amount) {
  const parts = rupiahFormat(2).formatToParts(amount);
  const point = parts.findIndex((part) => part.type === "decimal");
  const join = (some) => some.map((part) => part.value).join("");
  return point < 0 ? [join(parts), ""] : [join(parts.slice(0, point)), join(parts.slice(point))];
}

function rupiahFormat(minimumFractionDigits) {
  return new Intl.NumberFormat(language, {
    style: "currency",
    currency: "IDR",
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits,
    maximumFractionDigits: 6,
  });
}

/** Rupiah as precisely as one takes it in at a glance. */
export function rupiahRound(amount) {
  const size = Math.abs(Number(amount));
  const maximumFractionDigits = size >= 100 || size === 0 ? 0 : size >= 1 ? 2 : 6;
  return new Intl.NumberFormat(language, { style: "currency", currency: "IDR", currencyDisplay: "narrowSymbol", minimumFractionDigits: 0, maximumFractionDigits }).format(amount);
}

export const percent = (share) => number(share, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 });

/** `412 ms`, `1.9 s` */
export const latency = (ms) => (ms < 1_000 ? `${number(ms)} ms` : `${number(ms / 1_000, { maximumFractionDigits: 1 })} s`);

/** `iso` as the API writes times; shown in the reader's own time zone. */
export function date(iso) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}

/** The time of day, in the reader's own time zone. */
export function time(iso) {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(new Date(iso));
}

/** To the second, in UTC: as days are counted, and as the CSV has it. No year: nothing is a year old. */
export function utcTime(iso) {
  return new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: "UTC" }).format(new Date(iso));
}

/** The day in Jakarta, as it stands on documents. */
export function day(iso) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "Asia/Jakarta" }).format(new Date(iso));
}

/** `November 2026` of `2026-11`. */
export function monthName(month) {
  return new Intl.DateTimeFormat(language, { year: "numeric", month: "long", timeZone: "UTC" }).format(new Date(`${month}-01T00:00:00Z`));
}

/** A day such as `2026-11-25`, as the API counts them: in UTC. */
export function utcDay(day, options = { dateStyle: "medium" }) {
  return new Intl.DateTimeFormat(language, { ...options, timeZone: "UTC" }).format(new Date(day));
}
