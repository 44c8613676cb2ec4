/** Exports at once, of all accounts and of each: every one holds a page in memory and asks the database again and again. */
import { EpithreError } from "#shared/errors.ts";

/** Exports of one process: their pages take turns on the few connections, and none waits for long. */
const seatsMax = 32;

/** Exports of one account: one more than a person needs, so that no account takes all seats. */
const seatsOfAccountMax = 2;

/** Seconds after which a refused caller may try again. */
const retryAfterS = 5;

export interface Seats {
  /** Answers what gives the seat back, which may be called more than once. Throws `overloaded` or `rate_limit_exceeded`. */
  take(accountId: string): () => void;
}

export function createSeats(): Seats {
  const taken = new Map<string, number>();
  let all = 0;

  return {
    take(accountId) {
      const own = taken.get(accountId) ?? 0;
      if (own >= seatsOfAccountMax) {
        throw new EpithreError("rate_limit_exceeded", `Cannot start another export: ${own} of this account are running`, { retryAfterS });
      }
      if (all >= seatsMax) {
        throw new EpithreError("overloaded", "Cannot start another export now: all places are taken", { retryAfterS });
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
