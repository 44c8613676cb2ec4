/** An account's events of a range, piece by piece. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { findUsagePage, type Piece } from "./queries.ts";
import { dayAfter, type IdRange } from "./range.ts";
import type { Filters } from "./schema.ts";

/** What is found from the event after this id on. */
export type PieceAfter<Found> = (id: string) => Promise<Piece<Found>>;

/**
 * After an event its account's next thousands are looked for within a day first: Postgres plans for the slices of a day
 * in half a millisecond, for those of 90 days in 20 to 50, and locks them all.
 */
export function nearFirst<Found>(lastId: string, pieceUpTo: (afterId: string, lastId: string) => Promise<Piece<Found>>): PieceAfter<Found> {
  return async function pieceAfter(afterId) {
    const nearId = dayAfter(afterId);
    if (nearId !== undefined && nearId < lastId) {
      const piece = await pieceUpTo(afterId, nearId);
      if (piece.endId !== null) return piece;
    }
    return pieceUpTo(afterId, lastId);
  };
}

/** Records of the CSV. A page may have none and not be the last: its events are others than the filters ask for. */
export type PageAfter = PieceAfter<Buffer>;
export type Page = Piece<Buffer>;

export function createPageAfter(database: DatabasePool, accountId: string, { lastId }: Pick<IdRange, "lastId">, filters: Filters): PageAfter {
  return nearFirst(lastId, (afterId, upTo) => database.run((sql) => findUsagePage(sql, accountId, { afterId, lastId: upTo }, filters)));
}
