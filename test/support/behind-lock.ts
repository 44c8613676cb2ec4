/** Two transactions of which the second begins before the first has ended. */
import type { Sql } from "#shared/db.ts";
import { waitFor } from "./wait.ts";

/** Does `first` in a transaction that ends only once `second` waits for it; answers what comes of `second`. */
export async function behindLock<T>(sql: Sql, first: (sql: Sql) => Promise<unknown>, second: (sql: Sql) => Promise<T>): Promise<T> {
  const [began, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const whole = sql.begin(async (transaction) => {
    await first(transaction as unknown as Sql);
    began.resolve();
    await mayEnd.promise;
  });
  await Promise.race([began.promise, whole]);
  const outcome = second(sql);
  const settled = outcome.then(() => true, () => true);
  // One that does not wait at all is done before: that too is an outcome.
  await Promise.race([
    settled,
    waitFor("the second to wait for the first", async () => {
      const waiting = await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return waiting.length > 0;
    }),
  ]);
  mayEnd.resolve();
  await whole;
  return outcome;
}
