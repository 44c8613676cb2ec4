/** An account's events of a range, page by page. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { findUsagePage, pageRows } from "./queries.ts";
import { dayAfter, type IdRange } from "./range.ts";
import type { UsageRow } from "./schema.ts";

/** The events after this id; fewer than `pageRows` when there are no more. */
export type PageAfter = (id: string) => Promise<UsageRow[]>;

/**
 * After an event its account's next thousand are looked for within a day first: Postgres plans for the slices of a day
 * in half a millisecond, for those of 90 days in 20 to 50, and locks them all.
 */
export function createPageAfter(database: DatabasePool, accountId: string, { lastId }: IdRange): PageAfter {
  return async function pageAfter(afterId) {
    const pageUpTo = (id: string) => database.run((sql) => findUsagePage(sql, accountId, { afterId, lastId: id }));
    const nearId = dayAfter(afterId);
    if (nearId !== undefined && nearId < lastId) {
      const page = await pageUpTo(nearId);
      if (page.length === pageRows) return page;
    }
    return pageUpTo(lastId);
  };
}
