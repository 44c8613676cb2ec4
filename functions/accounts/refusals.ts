/** What the database refuses, in words. Its own texts could quote a row. */
import { sqlState } from "#shared/db.ts";
import { EpithreError, type ErrorKind } from "#shared/errors.ts";

type Refusal = [kind: ErrorKind, message: string];
export type Refusals = Partial<Record<string, Refusal>>;

/** For `catch`: turns an SQLSTATE of ours into the caller's error, and lets all else through. */
export function refuseWith(refusals: Refusals): (thrown: unknown) => never {
  return function refuse(thrown) {
    const found = refusals[sqlState(thrown)];
    if (!found) throw thrown;
    throw new EpithreError(...found);
  };
}

export const tokenRefusal: Refusal = [
  "invalid_token",
  "Cannot use this link: it was used already, or its time is over. Ask for a new mail.",
];
