/** Who calls a public route: the account of the API key that came with the request. */
import type { z } from "zod";
import { EpithreError } from "./errors.ts";
import type { InternalClient } from "./http.ts";
import { hashKey, invalidKey, presentedKey } from "./keys.ts";
import type { Scope } from "./policy.ts";

/** Milliseconds for key-auth's answer: it has one of its own that is shorter. */
const verdictTimeoutMs = 2_000;

/** Answers the account's id; throws the caller's error. */
export type AccountOf = (authorization: string | null) => Promise<string>;

/** What is read of key-auth's verdicts. */
type Verdicts = z.ZodType<{ verdicts: ({ accountId: string; accountStatus: string; scopes: Scope[] } | null)[] }>;

export interface AccountOfOptions {
  keyAuth: Pick<InternalClient, "post">;
  /** VerdictsAnswer of key-auth. */
  answer: Verdicts;
  /** That the key must have. */
  scope: Scope;
  /** What cannot be done without it, such as `export usage`. */
  task: string;
}

/**
 * The account may be suspended: that stops calls, not the rights to one's own data (right.access, right.export). A
 * closed one has no key left.
 */
export function createAccountOf({ keyAuth, answer, scope, task }: AccountOfOptions): AccountOf {
  return async function accountOf(authorization) {
    const hashes = [hashKey(presentedKey(authorization))];
    const { verdicts } = await keyAuth.post("/verdicts", { hashes }, answer, verdictTimeoutMs);
    const [verdict] = verdicts;
    if (!verdict || verdict.accountStatus === "closed") throw invalidKey();
    if (!verdict.scopes.includes(scope)) {
      throw new EpithreError("missing_scope", `Cannot ${task}: the key lacks the scope ${scope}. Make a key that has it.`);
    }
    return verdict.accountId;
  };
}
