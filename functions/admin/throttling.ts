/** What the schedule does: accounts whose usage shows abuse beyond doubt are slowed down for a while. */
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Log } from "#shared/log.ts";
import { throttle, throttleThresholds } from "./abuse.ts";
import { throttleAbusers } from "./lookup-queries.ts";

export function createThrottling(database: DatabasePool, log: Log): () => Promise<{ throttled: number }> {
  return async function throttleDue() {
    const throttled = await database.run((sql) => throttleAbusers(sql, throttleThresholds, throttle));
    if (throttled > 0) log({ at: "throttled", accounts: throttled });
    return { throttled };
  };
}
