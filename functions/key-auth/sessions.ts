/** Whether a session is one that accounts issued, unaltered and not expired. Whether it was ended since, the database knows. */
import { jwtVerify } from "jose";
import { z } from "zod";
import type { ReceiptKey } from "#shared/receipts.ts";
import { sessionAlgorithm, sessionAudience, sessionIssuer, sessionMs, sessionType } from "#shared/sessions.ts";

export interface SessionClaims {
  accountId: string;
  /** When it began: milliseconds since 1970, by the database's clock. */
  startedAtMs: number;
}

const Claims = z
  .object({ sub: z.uuid(), iat: z.number(), exp: z.number() })
  // Never longer than promised, whoever signed it (keep.session).
  .refine(({ iat, exp }) => exp - iat <= sessionMs / 1000);

/** The algorithm is ours and never the token's own choice, and so is the key: of a closed set, by its id (RFC 8725). */
export function createSessionVerifier(keys: readonly ReceiptKey[]): (token: string) => Promise<SessionClaims | null> {
  const keyOf = new Map(keys.map((key) => [key.kid, key]));

  return async function verified(token) {
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => keyOf.get(kid!)!, {
        algorithms: [sessionAlgorithm],
        issuer: sessionIssuer,
        audience: sessionAudience,
        typ: sessionType,
      });
      const { sub, iat } = Claims.parse(payload);
      return { accountId: sub, startedAtMs: Math.round(iat * 1000) };
    } catch {
      return null;
    }
  };
}
