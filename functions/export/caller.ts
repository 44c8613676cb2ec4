/** Who asks for usage: the account of the API key that came with the request. */
import { z } from "zod";
import { VerdictsAnswer } from "../key-auth/schema.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { hashKey, isWellFormedKey } from "#shared/keys.ts";

/** Milliseconds for key-auth's answer: it has one of its own that is shorter. */
const verdictTimeoutMs = 2_000;

export type AccountOf = (authorization: string | null) => Promise<string>;

/**
 * The account may be suspended: that stops calls, not the right to one's usage log (right.export). A closed one has no
 * key left.
 */
export function createAccountOf(keyAuth: Pick<InternalClient, "post">): AccountOf {
  return async function accountOf(authorization) {
    const hashes = [hashKey(presentedKey(authorization))];
    const answer: z.output<typeof VerdictsAnswer> = await keyAuth.post("/verdicts", { hashes }, VerdictsAnswer, verdictTimeoutMs);
    const [verdict] = answer.verdicts;
    if (!verdict || verdict.accountStatus === "closed") throw invalidKey();
    if (!verdict.scopes.includes("usage")) {
      throw new EpithreError("missing_scope", "Cannot export usage: the key lacks the scope usage. Make a key that has it.");
    }
    return verdict.accountId;
  };
}

/** A mistyped key is refused here; only the SHA-256 of another goes further (sec.key). */
function presentedKey(authorization: string | null): string {
  if (!authorization) {
    throw new EpithreError("missing_api_key", "Cannot find an API key: send it as `Authorization: Bearer ep_...`");
  }
  const key = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (!key || !isWellFormedKey(key)) throw invalidKey();
  return key;
}

const invalidKey = () =>
  new EpithreError("invalid_api_key", "Cannot accept this API key: it is unknown, expired or revoked. Make a new one on the dashboard.");
