/** Calls that run now, so that a suspension can end those of an account. */
import { createBag } from "openfaas-node";
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
  const running = createBag<{ accountId: string; cut: Cut }>();
  return {
    add: (accountId, cut) => running.add({ accountId, cut }),
    cutAccount(stopped) {
      const error = new EpithreError("account_suspended", "Cannot go on: the account was suspended. Write to hello@epithre.com.");
      for (const { accountId, cut } of running) if (accountId === stopped) cut(error);
    },
    get count() {
      return running.size;
    },
  };
}
