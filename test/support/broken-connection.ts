/** A function that dies, or is cut off, at a moment of its transaction: what its caller sees is the same each time. */
import type postgres from "postgres";
import { connect, sqlState, type Sql } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { DatabasePool } from "#shared/db-pool.ts";

/** Nobody was told whether the call took effect. */
export class NoAnswer extends Error {}

export const faults = ["answer lost", "killed before commit", "killed at commit"] as const;
export type Fault = "none" | (typeof faults)[number];

export interface Role {
  url: string;
  pool: DatabasePool;
}

/** How often each fault was seen to happen. */
export type FaultCounts = Record<Fault, number>;

export const noFaults = (): FaultCounts => ({ none: 0, "answer lost": 0, "killed before commit": 0, "killed at commit": 0 });

/** Runs the query as the role's function would, with the fault. Throws NoAnswer; what the SQL itself refuses is thrown as it is. */
export async function runWith<T>(owner: Sql, { url, pool }: Role, fault: Fault, counts: FaultCounts, query: (sql: Sql) => Promise<T>): Promise<T> {
  if (fault === "none" || fault === "answer lost") {
    const answer = await pool.run(query).catch((thrown: unknown) => {
      throw thrown instanceof EpithreError && thrown.kind === "unavailable" ? new NoAnswer() : thrown;
    });
    counts[fault] += 1;
    if (fault === "none") return answer;
    throw new NoAnswer();
  }
  const connection = connect({ url, connections: 1 });
  try {
    await connection.begin(async (transaction) => {
      const [row] = await transaction<{ pid: number }[]>`select pg_backend_pid() as pid`;
      await query(asSql(transaction));
      const kill = owner`select pg_terminate_backend(${row!.pid})`;
      counts[fault] += 1;
      // Otherwise COMMIT and the kill are on their way together: either may be first.
      if (fault === "killed before commit") await kill;
      else kill.catch(() => {});
    });
  } catch (thrown) {
    if (sqlState(thrown).startsWith("EP")) throw thrown;
  } finally {
    await connection.end({ timeout: 0 });
  }
  throw new NoAnswer();
}

/** Queries take a transaction like a connection: all that they do is tag SQL. */
const asSql = (transaction: postgres.TransactionSql<{ bigint: bigint }>) => transaction as unknown as Sql;
