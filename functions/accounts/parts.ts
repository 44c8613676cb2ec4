/** What the routes of accounts are made of. */
import { hash } from "node:crypto";
import type { z } from "zod";
import type { AccountOf } from "#shared/caller.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import { readJson } from "#shared/json-body.ts";
import type { NetworkOf } from "./client-address.ts";
import type { Passwords } from "./passwords.ts";
import { beginSession, type Claimant, type Credentials, findCredentials } from "./queries.ts";
import type { IssueSession, Session } from "./sessions.ts";
import type { Counted, Throttles } from "./throttles.ts";

export interface Parts {
  database: DatabasePool;
  passwords: Passwords;
  issueSession: IssueSession;
  /** The account of the session that came with a request; an API key is none. */
  sessionOf: AccountOf;
  throttles: Throttles;
  /** As long as answers take that must not tell by their time what there was to do. */
  pause(): Promise<unknown>;
  networkOf: NetworkOf;
  /** What an account gets once its address is verified; null: nothing then. */
  signupCreditMicro: bigint | null;
}

/**
 * Throws `unsupported_media_type` for what is not said to be JSON: a page elsewhere can make a browser send a form or
 * plain text without being asked, JSON it cannot.
 */
export async function readBody<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  if (!/^application\/json *(;|$)/i.test(request.headers.get("content-type") ?? "")) {
    throw new EpithreError("unsupported_media_type", "Cannot read body: send JSON, with the header `Content-Type: application/json`");
  }
  return readJson(request, schema);
}

export const tokenHash = (token: string): Buffer => hash("sha256", token, "buffer");

export interface PasswordCheck {
  claimant: Claimant;
  password: string;
  /** Counts wrong passwords only. */
  counted: Counted;
  /** What could not be done. */
  task: string;
}

export interface Checked extends Credentials {
  passwordHash: string;
  /** The same password under newer parameters. */
  betterHash: string | null;
}

/**
 * Throws `invalid_credentials`, for an account that is not there as for a wrong password, after the same work: one look
 * and one hash.
 */
export async function checkPassword({ database, passwords, throttles }: Parts, { claimant, password, counted, task }: PasswordCheck): Promise<Checked> {
  const giveBack = throttles.take(counted);
  const { found, matches, better } = await compare().catch((thrown) => {
    giveBack();
    throw thrown;
  });
  if (!found?.passwordHash || !matches) {
    const what = "email" in claimant ? "e-mail address or password is" : "the password is";
    throw new EpithreError("invalid_credentials", `Cannot ${task}: ${what} wrong. A forgotten password can be reset.`);
  }
  giveBack();

  async function compare() {
    const found = await database.run((sql) => findCredentials(sql, claimant));
    return { found, ...(await passwords.check(password, found?.passwordHash ?? null)) };
  }

  return { ...found, passwordHash: found.passwordHash, betterHash: better };
}

/** A session for who has just proved to own the account. */
export async function openSession({ database, issueSession }: Parts, checked: Pick<Checked, "accountId" | "passwordHash" | "betterHash">): Promise<Session> {
  const { accountId, passwordHash, betterHash } = checked;
  const startedAtMs = await database.run((sql) => beginSession(sql, accountId, passwordHash, betterHash));
  if (startedAtMs === null) throw new EpithreError("invalid_credentials", "Cannot log in: the password was changed a moment ago. Log in again.");
  return issueSession(accountId, startedAtMs);
}
