import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import type { ReceiptKey } from "#shared/receipts.ts";
import { SessionRequest } from "#shared/sessions.ts";
import { findChanges, findSession, findVerdicts, forgetIdleRates, takeSlices } from "./queries.ts";
import { ChangesRequest, SlicesRequest, VerdictsRequest } from "./schema.ts";
import { createSessionVerifier } from "./sessions.ts";

/** Milliseconds between two looks for keys whose use of their limits is to be forgotten. */
const forgetIntervalMs = 60_000;

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
  clock: Clock;
  /** Public keys that sessions are signed with; without any, no session counts. */
  sessionKeys?: readonly ReceiptKey[];
}

/**
 * Says what a key may do, whose session it is, and what has changed since a caller last asked, so that callers can
 * remember verdicts; hands out slices of keys' limits, so that a limit holds over all replicas.
 */
export function createHandler({ edgeSecrets, database, clock, sessionKeys = [] }: Deps): InternalHandler {
  const verifiedSession = createSessionVerifier(sessionKeys);
  let forgotAtMs = Number.NEGATIVE_INFINITY;

  async function forgetIdle(): Promise<void> {
    if (clock.monotonicMs() - forgotAtMs < forgetIntervalMs) return;
    forgotAtMs = clock.monotonicMs();
    await database.run(forgetIdleRates);
  }

  return createInternalHandler("key-auth", edgeSecrets, {
    "/verdicts": route({
      input: VerdictsRequest,
      answer: async ({ hashes }) => ({ verdicts: await database.run((sql) => findVerdicts(sql, hashes)) }),
    }),
    "/sessions": route({
      input: SessionRequest,
      async answer({ token }) {
        const claims = await verifiedSession(token);
        return { session: claims && (await database.run((sql) => findSession(sql, claims))) };
      },
    }),
    "/changes": route({
      input: ChangesRequest,
      async answer({ cursor }) {
        const changes = await database.run((sql) => findChanges(sql, cursor));
        await forgetIdle();
        return changes;
      },
    }),
    "/slices": route({
      input: SlicesRequest,
      answer: async (request) => ({ slices: await database.run((sql) => takeSlices(sql, request)) }),
    }),
  });
}
