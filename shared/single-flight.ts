/** One run at a time of a scheduled job, on all replicas together. */
import type { Sql } from "./db.ts";

export type SingleFlight = <T>(work: (connection: Sql) => Promise<T>) => Promise<T | undefined>;

/**
 * Does `work` unless it runs already, here or elsewhere; then `undefined`. `open` opens one connection, which lives as
 * long as a run and holds its lock, so that a process that dies leaves none.
 */
export function createSingleFlight(open: () => Sql, name: string): SingleFlight {
  let running = false;

  return async function exclusively(work) {
    if (running) return undefined;
    running = true;
    const connection = open();
    try {
      const [row] = await connection<{ locked: boolean }[]>`select pg_try_advisory_lock(hashtext(${name})) as locked`;
      return row!.locked ? await work(connection) : undefined;
    } finally {
      // The server notices a closed connection a moment later; the next run may come before that. Not awaited: the
      // driver forgets a query that is given to a connection just as it breaks, and ends it only with the connection.
      void connection`select pg_advisory_unlock_all()`.catch(() => {});
      await connection.end({ timeout: 1 });
      running = false;
    }
  };
}
