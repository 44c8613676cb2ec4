/** What the routes of export are made of, and their common form. */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import type { ReceiptSigner } from "#shared/receipts.ts";
import type { Seats } from "./seats.ts";

export interface Parts {
  database: DatabasePool;
  /** For what reads page after page, and for what reads one event. */
  exports: Seats;
  lookUps: Seats;
  signer: ReceiptSigner;
  clock: Clock;
}

export interface Asked {
  /** The caller's own. */
  accountId: string;
  pathname: string;
  searchParams: URLSearchParams;
  /** The caller left. */
  signal: AbortSignal;
}

export type Answer = (asked: Asked) => Promise<Response>;
