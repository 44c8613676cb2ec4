/** Calls that run now, by account, so that a suspension can end them. */
import { type Bag, createBag } from "openfaas-node";
import { EpithreError } from "#shared/errors.ts";

type Cut = (error: EpithreError) => void;

export interface RunningCalls {
  /** Answers how to remove the call again. */
  add(accountId: string, cut: Cut): () => void;
  /** Ends every call of the account with an error (design: suspension also cuts running streams). */
  cutAccount(accountId: string): void;
  readonly count: number;
}

export function createRunningCalls(): RunningCalls {
  const cuts = new Map<string, Bag<Cut>>();
  let count = 0;
  return {
    add(accountId, cut) {
      const ofAccount = cuts.get(accountId) ?? createBag();
      const takeOut = ofAccount.add(cut);
      cuts.set(accountId, ofAccount);
      count += 1;
      return () => {
        count -= 1;
        takeOut();
        if (ofAccount.size === 0 && cuts.get(accountId) === ofAccount) cuts.delete(accountId);
      };
    },
    cutAccount(accountId) {
      const error = new EpithreError("account_suspended", "Cannot go on: the account was suspended. Write to hello@epithre.com.");
      for (const cut of [...(cuts.get(accountId) ?? [])]) cut(error);
    },
    get count() {
      return count;
    },
  };
}
