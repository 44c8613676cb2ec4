import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { findChanges, findVerdicts } from "./queries.ts";
import { ChangesRequest, VerdictsRequest } from "./schema.ts";

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
}

/** Says what a key may do, and what has changed since a caller last asked, so that callers can remember verdicts. */
export function createHandler({ edgeSecrets, database }: Deps): InternalHandler {
  return createInternalHandler("key-auth", edgeSecrets, {
    "/verdicts": route({
      input: VerdictsRequest,
      answer: async ({ hashes }) => ({ verdicts: await database.run((sql) => findVerdicts(sql, hashes)) }),
    }),
    "/changes": route({
      input: ChangesRequest,
      answer: ({ cursor }) => database.run((sql) => findChanges(sql, cursor)),
    }),
  });
}
