/** How many may be answered at once, of all accounts and of each. */
import { EpithreError } from "#shared/errors.ts";

export interface SeatsOptions {
  /** What a refusal calls it. */
  what: "export" | "summary" | "look-up" | "download";
  seatsMax: number;
  seatsOfAccountMax: number;
}

/**
 * Each holds a page in memory and asks the database again and again: pages take turns on the few connections, and none
 * waits for long. An account has one more than a person needs, so that none takes all.
 */
export const exportSeats: SeatsOptions = { what: "export", seatsMax: 32, seatsOfAccountMax: 2 };

/** Each asks the database piece after piece, for some seconds at most; a page of a dashboard has a few. */
export const summarySeats: SeatsOptions = { what: "summary", seatsMax: 16, seatsOfAccountMax: 4 };

/** Each holds a connection to the object store and as much of the file as is on its way. */
export const downloadSeats: SeatsOptions = { what: "download", seatsMax: 32, seatsOfAccountMax: 2 };

/** Each asks the database once, for less than a millisecond. */
export const lookUpSeats: SeatsOptions = { what: "look-up", seatsMax: 64, seatsOfAccountMax: 8 };

/** Seconds after which a refused caller may try again. */
const retryAfterS = 5;

export interface Seats {
  /** Answers what gives the seat back, which may be called more than once. Throws `overloaded` or `rate_limit_exceeded`. */
  take(accountId: string): () => void;
}

export function createSeats({ what, seatsMax, seatsOfAccountMax }: SeatsOptions): Seats {
  const taken = new Map<string, number>();
  let all = 0;

  return {
    take(accountId) {
      const own = taken.get(accountId) ?? 0;
      if (own >= seatsOfAccountMax) {
        throw new EpithreError("rate_limit_exceeded", `Cannot start another ${what}: ${own} of this account are running`, { retryAfterS });
      }
      if (all >= seatsMax) {
        throw new EpithreError("overloaded", `Cannot start another ${what} now: all places are taken`, { retryAfterS });
      }
      taken.set(accountId, own + 1);
      all += 1;
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        all -= 1;
        const left = taken.get(accountId)! - 1;
        if (left === 0) taken.delete(accountId);
        else taken.set(accountId, left);
      };
    },
  };
}
