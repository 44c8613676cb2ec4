/** GET /v1/prices: what each model costs, now and in time to come, for everybody, with or without a key. */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { describeModel, isRetired } from "#shared/price-list.ts";
import type { PublicRoute } from "#shared/public.ts";
import { findPriceBook } from "./queries.ts";
import type { Model } from "./schema.ts";

export interface PriceListDeps {
  database: DatabasePool;
  clock: Clock;
}

/** Milliseconds that one reading of the price book answers everybody: whoever asks all the time costs nothing. */
const freshMs = 5_000;

/** Seconds that browsers and caches may keep an answer. */
const cacheS = 60;

export function priceListRoute({ database, clock }: PriceListDeps): PublicRoute {
  let book: { models: Promise<Model[]>; readAtMs: number } | undefined;

  function priceBook(): Promise<Model[]> {
    const nowMs = clock.monotonicMs();
    if (!book || nowMs - book.readAtMs >= freshMs) {
      const reading = { models: database.run(findPriceBook), readAtMs: nowMs };
      book = reading;
      reading.models.catch(() => {
        if (book === reading) book = undefined;
      });
    }
    return book.models;
  }

  return {
    method: "GET",
    path: "/v1/prices",
    async answer() {
      const models = await priceBook();
      const nowMs = clock.wallMs();
      const data = models.filter((model) => model.enabled && !isRetired(model, nowMs)).map((model) => describeModel(model, nowMs));
      return Response.json({ object: "list", data }, { headers: { "cache-control": `public, max-age=${cacheS}` } });
    },
  };
}
