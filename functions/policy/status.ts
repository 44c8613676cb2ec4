/** What runs now: each function by its readiness, the database, and the inference engines as the proxy's calls found them. */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Watched } from "#shared/flow.ts";
import { createCached } from "./cached.ts";
import { readNow } from "./queries.ts";

export interface Status {
  checkedAt: Date;
  functions: { name: Watched; state: "up" | "away" }[];
  database: "up" | "away";
  /** Null while the proxy does not say. */
  engines: { up: number; all: number } | null;
}

/** Answers 200 with its text, or undefined. */
export type Ask = (url: string) => Promise<string | undefined>;

export interface StatusDeps {
  functionUrls: Partial<Record<Watched, string>>;
  database: DatabasePool;
  ask: Ask;
  clock: Clock;
}

/** Milliseconds that an answer is given to everybody: however many ask, functions are asked once. */
const keptMs = 10_000;

export function createStatus({ functionUrls, database, ask, clock }: StatusDeps): () => Promise<Status> {
  const urls = Object.entries(functionUrls) as [Watched, string][];

  async function check(): Promise<Status> {
    const [functions, engines, state] = await Promise.all([
      Promise.all(urls.map(async ([name, url]) => ({ name, state: (await ask(`${url}/_/ready`)) === undefined ? "away" as const : "up" as const }))),
      functionUrls.proxy === undefined ? undefined : ask(`${functionUrls.proxy}/_/metrics`),
      database.run(readNow).then(() => "up" as const, () => "away" as const),
    ]);
    return { checkedAt: new Date(clock.wallMs()), functions, database: state, engines: enginesIn(engines) };
  }

  return createCached(check, keptMs, clock);
}

export function isAllUp({ functions, database, engines }: Status): boolean {
  return database === "up" && functions.every(({ state }) => state === "up") && (engines === null || engines.up === engines.all);
}

/** Of the proxy's metrics: `epithre_proxy_engine_healthy{backend="0"} 1`. */
function enginesIn(metrics: string | undefined): Status["engines"] {
  const values = [...(metrics ?? "").matchAll(/^epithre_proxy_engine_healthy\{[^}]*\} ([01])$/gm)].map(([, value]) => value);
  return values.length === 0 ? null : { up: values.filter((value) => value === "1").length, all: values.length };
}
