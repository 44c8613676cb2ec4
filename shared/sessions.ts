/**
 * Sessions: a JWT (RFC 7519) with EdDSA that says whose it is and when it began, and nothing else (keep.session).
 * `accounts` issues them, `key-auth` alone says whether one counts, and the browser holds it.
 */
import { z } from "zod";
import { type Limit, promised } from "./policy.ts";

const { amount: sessionHours } = promised("keep.session").limit as Limit;

/** Milliseconds that a session lasts. */
export const sessionMs = sessionHours * 3_600_000;

export const sessionAlgorithm = "EdDSA";

/** Explicit typing (RFC 8725, section 3.11): nothing else that is signed here passes for a session. */
export const sessionType = "epithre-session+jwt";

export const sessionIssuer = "epithre-accounts";
export const sessionAudience = "epithre";

/** Characters. With these claims it has about 400. */
export const sessionCharactersMax = 1_024;

/** What key-auth is asked about a session. */
export const SessionRequest = z.strictObject({ token: z.string().max(sessionCharactersMax) });

/** `null`: it is none of ours, altered, expired or ended, or its account is closed. */
export const SessionAnswer = z.strictObject({
  session: z.strictObject({ accountId: z.uuid(), accountStatus: z.enum(["active", "suspended"]) }).nullable(),
});
export type SessionAnswer = z.output<typeof SessionAnswer>;
