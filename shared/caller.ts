/** Who calls a public route: the account of the API key, or of the session, that came with the request. */
import type { z } from "zod";
import { EpithreError } from "./errors.ts";
import type { InternalClient } from "./http.ts";
import { hashKey, invalidKey, presentedKey } from "./keys.ts";
import type { Scope } from "./policy.ts";
import { SessionAnswer, sessionCharactersMax } from "./sessions.ts";

/** Milliseconds for key-auth's answer: it has one of its own that is shorter. */
const answerTimeoutMs = 2_000;

/** Answers the account's id; throws the caller's error. */
export type AccountOf = (authorization: string | null) => Promise<string>;

/** What is read of key-auth's verdicts. */
type Verdicts = z.ZodType<{ verdicts: ({ accountId: string; accountStatus: string; scopes: Scope[] } | null)[] }>;

export interface AccountOfOptions {
  keyAuth: Pick<InternalClient, "post">;
  /** VerdictsAnswer of key-auth. */
  answer: Verdicts;
  /** That a key must have; a session may do all that concerns its own account. */
  scope: Scope;
  /** What cannot be done without it, such as `export usage`. */
  task: string;
}

/** A JWT: its header is a JSON object, which in base64url begins so. No API key does. */
const presentsSession = /^Bearer +(eyJ[\w.-]+) *$/i;

/**
 * The account may be suspended: that stops calls, not the rights to one's own data (right.access, right.export). A
 * closed one has no key and no session left.
 */
export function createAccountOf({ keyAuth, answer, scope, task }: AccountOfOptions): AccountOf {
  const sessionOf = createSessionOf(keyAuth);

  return async function accountOf(authorization) {
    if (authorization && presentsSession.test(authorization)) return sessionOf(authorization);
    const hashes = [hashKey(presentedKey(authorization))];
    const { verdicts } = await keyAuth.post("/verdicts", { hashes }, answer, answerTimeoutMs);
    const [verdict] = verdicts;
    if (!verdict || verdict.accountStatus === "closed") throw invalidKey();
    if (!verdict.scopes.includes(scope)) {
      throw new EpithreError("missing_scope", `Cannot ${task}: the key lacks the scope ${scope}. Make a key that has it.`);
    }
    return verdict.accountId;
  };
}

/** For routes that no API key may call. Throws `invalid_session`. */
export function createSessionOf(keyAuth: Pick<InternalClient, "post">): AccountOf {
  return async function sessionOf(authorization) {
    const token = presentsSession.exec(authorization ?? "")?.[1];
    if (!token) throw new EpithreError("invalid_session", "Cannot do this without a session: log in, and send its token as `Authorization: Bearer ...`");
    if (token.length > sessionCharactersMax) throw ended();
    const { session } = await keyAuth.post("/sessions", { token }, SessionAnswer, answerTimeoutMs);
    if (!session) throw ended();
    return session.accountId;
  };
}

const ended = () => new EpithreError("invalid_session", "Cannot accept this session: it has ended. Log in again.");
