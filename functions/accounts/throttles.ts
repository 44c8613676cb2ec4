/**
 * How often something may be tried within an hour, by account and by address of the caller. What is counted is a keyed
 * hash under a key that lives for that hour, and only in this process's memory: neither name nor address is anywhere.
 */
import { createHmac, randomBytes } from "node:crypto";
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";

const hourMs = 3_600_000;

/** Counters: a fixed number, so that no flood of names or addresses fills the memory. Two of a million are rarely shared. */
const counters = 2 ** 20;

/**
 * Tries within an hour of one process. An account's own limit is loose, so that nobody locks its owner out by guessing;
 * the strict ones are of an account from one address, and of an address.
 */
const limits = {
  /** Wrong passwords. */
  loginOfAccount: 60,
  loginOfAccountFromAddress: 10,
  loginFromAddress: 60,
  /** By the owner of a session. */
  passwordOfAccount: 10,
  signupFromAddress: 20,
  /** To a mailbox that its owner may not have asked for. */
  mailToEmail: 4,
  mailFromAddress: 20,
  tokenFromAddress: 60,
  emailChangeOfAccount: 4,
  copyOfAccount: 10,
  keyChangeOfAccount: 120,
} as const;

export type Throttled = keyof typeof limits;

/** What is counted together; `undefined` is not known, and not counted. */
export type Counted = Partial<Record<Throttled, string | undefined>>;

export interface Throttles {
  /** Counts a try of each, and answers what takes it back. Throws `rate_limit_exceeded` where one has none left. */
  take(counted: Counted): () => void;
}

export function createThrottles(clock: Clock): Throttles {
  let key = randomBytes(32);
  let counts = new Uint16Array(counters);
  let endsAtMs = clock.monotonicMs() + hourMs;

  function beginHour(): void {
    if (clock.monotonicMs() < endsAtMs) return;
    key = randomBytes(32);
    counts = new Uint16Array(counters);
    endsAtMs = clock.monotonicMs() + hourMs;
  }

  /** Each is counted in two places, and the lower one holds: who shares one of them with others is not counted for them. */
  function placesOf(name: string, value: string): [number, number] {
    const digest = createHmac("sha256", key).update(`${name}\n${value}`).digest();
    return [digest.readUInt32LE(0) % counters, digest.readUInt32LE(4) % counters];
  }

  return {
    take(counted) {
      beginHour();
      const taken = counts;
      const entries = Object.entries(counted).filter((entry): entry is [Throttled, string] => entry[1] !== undefined);
      const placed = entries.map(([name, value]) => ({ name, places: placesOf(name, value) }));
      for (const { name, places } of placed) {
        if (Math.min(...places.map((place) => taken[place]!)) >= limits[name]) throw tooMany(endsAtMs - clock.monotonicMs());
      }
      const all = placed.flatMap(({ places }) => [...new Set(places)]);
      for (const place of all) taken[place] = Math.min(taken[place]! + 1, 0xffff);
      return () => {
        for (const place of all) taken[place] = Math.max(taken[place]! - 1, 0);
        all.length = 0;
      };
    },
  };
}

function tooMany(waitMs: number): EpithreError {
  return new EpithreError("rate_limit_exceeded", "Cannot do this now: it was tried too often within the hour. Try again later.", {
    retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)),
  });
}
