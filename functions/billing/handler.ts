import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { createDocuments } from "./documents.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { createLeaseMoves } from "./lease-moves.ts";
import { closeExpiredLeases, findBalance, findPriceBook } from "./queries.ts";
import {
  BalanceRequest, DocumentsRequest, type GrantAnswer, GrantRequest, PriceBookRequest, type SyncAnswer, SyncRequest,
} from "./schema.ts";

/** Milliseconds between two looks for expired leases of anybody; a grant closes those of its own account at once. */
const expiryIntervalMs = 1_000;

export interface Deps {
  edgeSecrets: EdgeSecrets;
  database: DatabasePool;
  statementDatabase: DatabasePool;
  clock: Clock;
  leaseTtlMs: number;
  invoices: InvoiceSettings;
}

/** Leases money to proxies, takes it back, says what things cost and what an account has, and makes documents. */
export function createHandler({ edgeSecrets, database, statementDatabase, clock, leaseTtlMs, invoices }: Deps): InternalHandler {
  const documents = createDocuments({ database, statementDatabase, invoices });
  const moveLeases = createLeaseMoves({ database, clock, leaseTtlMs });
  let expiryCheckedAtMs = Number.NEGATIVE_INFINITY;

  async function closeExpired(): Promise<void> {
    if (clock.monotonicMs() - expiryCheckedAtMs < expiryIntervalMs) return;
    expiryCheckedAtMs = clock.monotonicMs();
    await database.run(closeExpiredLeases);
  }

  return createInternalHandler("billing", edgeSecrets, {
    "/leases/grant": route({
      from: "proxy",
      input: GrantRequest,
      async answer({ replicaId, requests }): Promise<GrantAnswer> {
        const { grants } = await moveLeases({ replicaId, requests, reports: [] });
        return { grants };
      },
    }),
    "/leases/sync": route({
      from: "proxy",
      input: SyncRequest,
      async answer({ replicaId, leases: reports }): Promise<SyncAnswer> {
        const { leases, recalled } = await moveLeases({ replicaId, requests: [], reports });
        await closeExpired();
        return { leases, recalled };
      },
    }),
    "/balance": route({
      from: "proxy",
      input: BalanceRequest,
      answer: ({ accountId, keyId }) => database.run((sql) => findBalance(sql, accountId, keyId)),
    }),
    "/price-book": route({
      from: "proxy",
      input: PriceBookRequest,
      answer: async () => ({ models: await database.run(findPriceBook) }),
    }),
    // They name a person, whom the proxy is to know nothing of (use.account).
    "/documents": route({ from: "notify", input: DocumentsRequest, answer: documents }),
  });
}
