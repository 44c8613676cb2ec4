import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { findChanges, findVerdicts, forgetIdleRates, takeSlices } from "./queries.ts";
import { ChangesRequest, SlicesRequest, VerdictsRequest } from "./schema.ts";

/** Milliseconds between two looks for keys whose use of their limits is to be forgotten. */
const forgetIntervalMs = 60_000;

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
  clock: Clock;
}

/**
 * Says what a key may do, and what has changed since a caller last asked, so that callers can remember verdicts; hands
 * out slices of keys' limits, so that a limit holds over all replicas.
 */
export function createHandler({ edgeSecrets, database, clock }: Deps): InternalHandler {
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
