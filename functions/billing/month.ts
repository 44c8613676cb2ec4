/**
 * Months as a bookkeeper in Indonesia counts them: the calendar's in Jakarta (WIB, UTC+7, without summer time), written
 * `2026-11`.
 */
export const monthPattern = /^\d{4}-(0[1-9]|1[0-2])$/;

/** Milliseconds that WIB is ahead of UTC. */
const wibMs = 7 * 3_600_000;

/** Milliseconds. */
export const dayMs = 86_400_000;

export const isMonth = (text: string) => monthPattern.test(text);

/** The first moment of the month, and of the next one, in milliseconds since 1970. */
export function boundsOf(month: string): { startMs: number; endMs: number } {
  const [year, number] = month.split("-").map(Number) as [number, number];
  return { startMs: Date.UTC(year, number - 1) - wibMs, endMs: Date.UTC(year, number) - wibMs };
}

/** `2026-11-01T00:00:00+07:00`. */
export function inWib(time: Date): string {
  return `${new Date(time.getTime() + wibMs).toISOString().slice(0, 19)}+07:00`;
}
