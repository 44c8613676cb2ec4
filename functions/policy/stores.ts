/** The oldest row of each kind of data beside the limit that it must be gone by. */
import {
  type BackupWindowDays, limitDays, limitHours, liveLimitDays, retention, type Retention,
} from "#shared/stored-data.ts";
import type { Facts } from "./facts.ts";

export interface StoreEvidence {
  store: string;
  /** Null where no person is named: the limit is our own. */
  promise: string | null;
  /** Null: there is none. */
  oldestAt: Date | null;
  /** What is promised, and what is left of it for live data once backups have taken their part. */
  promisedHours: number;
  backupHours: number;
  liveHours: number;
  /** How long the oldest row has; negative: it should be gone. The whole limit where there is no row. */
  marginHours: number;
}

/** Retention rows that end of themselves; the others end with their account. */
export const endingStores: readonly Retention[] = retention.filter(({ how }) => how !== "life_of_account");

export const hourMs = 3_600_000;

/** What the database tells nothing of is left out. */
export function measureStores({ oldest, measuredAt }: Facts, window: BackupWindowDays): StoreEvidence[] {
  const known = new Map(oldest.map(({ store, oldestAt }) => [store, oldestAt]));
  return endingStores.flatMap((row) => {
    const oldestAt = known.get(row.table);
    if (oldestAt === undefined) return [];
    const liveHours = liveHoursOf(row, window);
    const promisedHours = row.how === "expire" ? limitHours(row.limit) : limitDays(row.limit) * 24;
    const ageHours = oldestAt && (measuredAt.getTime() - oldestAt.getTime()) / hourMs;
    return [{
      store: row.table, promise: row.promise, oldestAt, promisedHours, backupHours: promisedHours - liveHours, liveHours,
      marginHours: liveHours - Math.max(0, ageHours ?? 0),
    }];
  });
}

function liveHoursOf({ how, limit }: Retention, window: BackupWindowDays): number {
  return how === "expire" ? limitHours(limit) : liveLimitDays(limit, window) * 24;
}
