/** GET /v1/usage: what the account's own usage comes to, by day, model or key. */
import { EpithreError } from "#shared/errors.ts";
import { formatRupiah } from "#shared/money.ts";
import { addLatencies, type Latencies, percentile, stepsPerE } from "./latency.ts";
import type { Answer, Parts } from "./parts.ts";
import { chunkRows, sumUsageChunk, type UsageSums } from "./queries.ts";
import { idRange } from "./range.ts";
import { readQuery } from "./read-query.ts";
import { type Dimension, SummaryQuery } from "./schema.ts";
import { nearFirst } from "./usage-pages.ts";

/** Events that one answer may look at, in pieces of a few milliseconds: some seconds of Postgres in all. */
const eventsMax = 2_000_000;

/** Lines of one answer: 90 days of 22 models, or of as many keys; each takes a few kilobytes until it is sent. */
const groupsMax = 2_000;

/** Milliseconds. Gateways commonly give up after 60 s on an answer that has not begun. */
const sumMsMax = 55_000;

export interface SummaryLimits {
  eventsMax: number;
  groupsMax: number;
}

export function createUsageSummary({ database, summaries }: Parts, limits: SummaryLimits = { eventsMax, groupsMax }): Answer {
  return async function usageSummary({ accountId, searchParams, signal }) {
    const { group_by: groupBy, ...query } = readQuery(searchParams, SummaryQuery);
    const { afterId, lastId } = idRange(query);
    const chunkAfter = nearFirst(lastId, (id, upTo) =>
      database.run((sql) => sumUsageChunk(sql, accountId, { afterId: id, lastId: upTo }, query, groupBy, stepsPerE)),
    );
    const ends = AbortSignal.any([signal, AbortSignal.timeout(sumMsMax)]);
    const total = createSum();
    const groups = new Map<string, Group>();

    const leaveSeat = summaries.take(accountId);
    try {
      let events = 0;
      let after: string | null = afterId;
      while (after !== null) {
        if (ends.aborted) throw new EpithreError("unavailable", "Cannot sum this usage: it took too long. Ask for fewer days by from and to.");
        if (events >= limits.eventsMax) throw tooMuch(`more than ${limits.eventsMax} requests`);
        const { found, endId } = await chunkAfter(after);
        for (const sums of found) {
          const key = JSON.stringify([sums.day, sums.model, sums.keyId]);
          if (!groups.has(key)) groups.set(key, { ...sums, sum: createSum() });
          groups.get(key)!.sum.add(sums);
          total.add(sums);
        }
        if (groups.size > limits.groupsMax) throw tooMuch(`more than ${limits.groupsMax} lines, or tell them apart by less in group_by`);
        events += chunkRows;
        after = endId;
      }
    } finally {
      leaveSeat();
    }
    const { from = null, to = null, model = null, key_id = null, endpoint = null, status = null } = query;
    const data = [...groups].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, group]) => line(group, groupBy));
    return Response.json({ object: "usage.summary", from, to, model, key_id, endpoint, status, group_by: groupBy, data, total: total.fields() });
  };
}

const tooMuch = (what: string) =>
  new EpithreError("invalid_request", `Cannot sum this usage: it is ${what}. Ask for fewer days by from and to.`, { param: "from" });

interface Group extends Pick<UsageSums, "day" | "model" | "keyId"> {
  sum: Sum;
}

/** What is asked for by `group_by`, and what it comes to. */
function line({ day, model, keyId, sum }: Group, groupBy: readonly Dimension[]): object {
  const values = { day, model, key_id: keyId };
  return { ...Object.fromEntries(groupBy.map((dimension) => [dimension, values[dimension]])), ...sum.fields() };
}

type Sum = ReturnType<typeof createSum>;

function createSum() {
  const counted = { requests: 0, errors: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, images: 0 };
  const latencies: Latencies = new Map();
  let costMicro = 0n;
  return {
    add(sums: UsageSums): void {
      for (const name of Object.keys(counted) as (keyof typeof counted)[]) counted[name] += sums[name];
      costMicro += BigInt(sums.costMicro);
      addLatencies(latencies, sums.latencySteps, sums.latencyCounts);
    },
    /** As people get them: the same names as the columns of the CSV where they are the same things. */
    fields() {
      return {
        requests: counted.requests,
        errors: counted.errors,
        prompt_tokens: counted.promptTokens,
        cached_tokens: counted.cachedTokens,
        completion_tokens: counted.completionTokens,
        reasoning_tokens: counted.reasoningTokens,
        images: counted.images,
        cost_rupiah: formatRupiah(costMicro),
        latency_ms: { p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95) },
      };
    },
  };
}
