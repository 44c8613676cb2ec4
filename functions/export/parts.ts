/** What the routes of export are made of, and their common form. */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import type { ObjectStore } from "#shared/object-store.ts";
import type { ReceiptSigner } from "#shared/receipts.ts";
import type { Seats } from "./seats.ts";

export interface Parts {
  database: DatabasePool;
  store: ObjectStore;
  /** For what reads page after page, for what sums, for what asks once, and for files on their way. */
  exports: Seats;
  summaries: Seats;
  lookUps: Seats;
  downloads: Seats;
  signer: ReceiptSigner;
  clock: Clock;
}

export interface Asked {
  /** The caller's own. */
  accountId: string;
  request: Request;
  /** What stands behind the path where the route has more than one. */
  rest: string;
  searchParams: URLSearchParams;
  /** The caller left. */
  signal: AbortSignal;
}

export type Answer = (asked: Asked) => Promise<Response>;
