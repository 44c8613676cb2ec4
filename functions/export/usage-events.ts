/** GET /v1/usage/events: the account's own usage events, the newest first, a page at a time: what a person looks through. */
import type { Answer, Parts } from "./parts.ts";
import { findUsageBefore, pageRows } from "./queries.ts";
import { dayBefore, idRange } from "./range.ts";
import { readQuery } from "./read-query.ts";
import { fields } from "./records.ts";
import { EventsQuery, type UsageRow } from "./schema.ts";

/** Events of one answer: what a person looks at before going on. */
const eventsMax = 50;

/** Events that one answer may look through for them, in pieces of a few milliseconds; the next answer goes on from there. */
const scannedMax = 100_000;

export interface EventsLimits {
  eventsMax: number;
  scannedMax: number;
}

export function createUsageEvents({ database, summaries, clock }: Parts, limits: EventsLimits = { eventsMax, scannedMax }): Answer {
  return async function usageEvents({ accountId, searchParams, signal }) {
    const { cursor, ...query } = readQuery(searchParams, EventsQuery);
    const { afterId, lastId } = idRange(query);
    const rows: UsageRow[] = [];
    let beforeId = cursor !== undefined && cursor < lastId ? cursor : lastId;
    let hasMore = true;

    const leaveSeat = summaries.take(accountId);
    try {
      // The latest day first: Postgres plans for its slices in half a millisecond, for those of 90 days in 20 to 50.
      let floorId = dayBefore(beforeId, clock.wallMs());
      for (let scanned = 0; hasMore && rows.length <= limits.eventsMax && scanned < limits.scannedMax; scanned += pageRows) {
        signal.throwIfAborted();
        const upTo = floorId > afterId ? floorId : afterId;
        const wanted = limits.eventsMax + 1 - rows.length;
        const { found, endId } = await database.run((sql) => findUsageBefore(sql, accountId, { afterId: upTo, beforeId }, query, wanted));
        rows.push(...found);
        hasMore = endId !== null || upTo !== afterId;
        beforeId = endId ?? upTo;
        if (endId === null) floorId = afterId;
      }
    } finally {
      leaveSeat();
    }
    const isFull = rows.length > limits.eventsMax;
    const data = rows.slice(0, limits.eventsMax).map(fields);
    const next = isFull ? rows[limits.eventsMax - 1]!.id : hasMore ? beforeId : null;
    return Response.json({ object: "list", data, next_cursor: next });
  };
}
