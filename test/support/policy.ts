/** The policy function as its tests run it: on its own role, with facts measured anew whenever a test wants. */
import { createPrivateKey } from "node:crypto";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { type Clock, systemClock } from "#shared/clock.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import type { Watched } from "#shared/flow.ts";
import type { PromiseId } from "#shared/policy.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { createEvidence, type Evidence } from "../../functions/policy/evidence.ts";
import { createHandler } from "../../functions/policy/handler.ts";
import { createMetrics } from "../../functions/policy/metrics.ts";
import { type Ask, createStatus } from "../../functions/policy/status.ts";
import type { TestDatabase } from "./database.ts";

export const evidenceSigner = createReceiptSigner(createPrivateKey(makeReceiptKey()));

export interface PolicyFunction {
  handler: (request: Request) => Promise<Response>;
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Response>;
  evidence(): Promise<Evidence>;
  metrics(): Promise<string>;
  /** Lets time go on, as this process's clock has it; what was measured a minute ago is measured anew. */
  pass(ms: number): void;
  /** What is red of a promise; empty when it is green. Measures anew. */
  red(id: PromiseId): Promise<string[]>;
  close(): Promise<void>;
}

export const minuteMs = 60_000;

export interface Given {
  backupWindowDays?: number | null;
  ask?: Ask;
  functionUrls?: Partial<Record<Watched, string>>;
  database?: DatabasePool;
}

const answering: Ask = async (url) => (url.endsWith("/_/metrics") ? 'epithre_proxy_engine_healthy{backend="0"} 1\n' : "");

export function createPolicy(db: TestDatabase, given: Given = {}): PolicyFunction {
  const { backupWindowDays = null, ask = answering } = given;
  let passedMs = 0;
  const clock: Clock = { monotonicMs: () => systemClock.monotonicMs() + passedMs, wallMs: () => systemClock.wallMs() + passedMs };
  const database = given.database ?? createDatabasePool({ url: db.urlFor("policy"), log: () => {}, connections: 2 });
  const functionUrls = given.functionUrls ?? { proxy: "http://proxy", accounts: "http://accounts", export: "http://export" };
  const status = createStatus({ functionUrls, database, ask, clock });
  const evidence = createEvidence({ database, status, signer: evidenceSigner, clock, backupWindowDays, release: "0.1.0" });
  const handler = createHandler({ evidence, status, key: evidenceSigner.key, publicUrl: "https://epithre.example", backupWindowDays, clock });
  const pass = (ms: number) => void (passedMs += ms);
  return {
    handler,
    get: (path, headers = {}, method = "GET") => handler(new Request(`http://policy${path}`, { method, headers })),
    evidence,
    metrics: createMetrics(evidence),
    pass,
    async red(id) {
      pass(minuteMs);
      const { judgements } = await evidence();
      return judgements.find((one) => one.id === id)!.findings.map(({ code, store }) => (store === undefined ? code : `${code} ${store}`));
    },
    close: () => database.close(),
  };
}
