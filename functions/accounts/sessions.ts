/** Issues sessions: see shared/sessions.ts. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { SignJWT } from "jose";
import { receiptKey } from "#shared/receipts.ts";
import { sessionAlgorithm, sessionAudience, sessionIssuer, sessionMs, sessionType } from "#shared/sessions.ts";

export interface Session {
  object: "session";
  token: string;
  expires_at: string;
}

/** `startedAtMs` is the database's time, by which sessions are ended too. */
export type IssueSession = (accountId: string, startedAtMs: number) => Promise<Session>;

export function createSessionIssuer(privateKey: KeyObject): IssueSession {
  const { kid } = receiptKey(createPublicKey(privateKey).export({ format: "jwk" }).x!);

  return async function issue(accountId, startedAtMs) {
    const expiresAtMs = startedAtMs + sessionMs;
    const token = await new SignJWT()
      .setProtectedHeader({ alg: sessionAlgorithm, typ: sessionType, kid })
      .setSubject(accountId)
      .setIssuer(sessionIssuer)
      .setAudience(sessionAudience)
      // To the millisecond: one that begins in the second in which all others are ended is none of them.
      .setIssuedAt(startedAtMs / 1000)
      .setExpirationTime(expiresAtMs / 1000)
      .sign(privateKey);
    return { object: "session", token, expires_at: new Date(expiresAtMs).toISOString() };
  };
}
