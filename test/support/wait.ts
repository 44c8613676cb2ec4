/** Waiting for what a test can observe, instead of for time to pass. */
import { setTimeout as delay } from "node:timers/promises";

/** Milliseconds between two looks. */
const lookMs = 10;

/** Milliseconds after which a condition is taken to never come true; a busy machine is slow, not broken. */
const patienceMs = 10_000;

type Truthy<T> = Exclude<T, false | 0 | "" | null | undefined>;

/** Settles with what `condition` answers once that is true; throws an Error that names what was waited for. */
export async function waitFor<T>(what: string, condition: () => T | Promise<T>, timeoutMs = patienceMs): Promise<Truthy<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found) return found as Truthy<T>;
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`);
    await delay(lookMs);
  }
}
