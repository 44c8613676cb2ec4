import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { claim, releaseClaim, settle } from "./queries.ts";
import { ClaimRelease, ClaimRequest, SettlementsRequest } from "./schema.ts";

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
  /** Connections for claims alone: settlements never wait behind them. */
  claims: DatabasePool;
}

/** Records what ended requests used and debits their leases: each exactly once, in one transaction for a batch. */
export function createHandler({ edgeSecrets, database, claims }: Deps): InternalHandler {
  return createInternalHandler("usage-record", edgeSecrets, {
    "/settlements": route({
      input: SettlementsRequest,
      answer: async ({ settlements }) => ({ results: await database.run((sql) => settle(sql, settlements)) }),
    }),
    "/claims": route({ input: ClaimRequest, answer: (request) => claims.run((sql) => claim(sql, request)) }),
    "/claims/release": route({
      input: ClaimRelease,
      async answer(release) {
        await claims.run((sql) => releaseClaim(sql, release));
        return {};
      },
    }),
  });
}
