import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { settle } from "./queries.ts";
import { SettlementsRequest } from "./schema.ts";

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
}

/** Records what ended requests used and debits their leases: each exactly once, in one transaction for a batch. */
export function createHandler({ edgeSecrets, database }: Deps): InternalHandler {
  return createInternalHandler("usage-record", edgeSecrets, {
    "/settlements": route({
      input: SettlementsRequest,
      answer: async ({ settlements }) => ({ results: await database.run((sql) => settle(sql, settlements)) }),
    }),
  });
}
