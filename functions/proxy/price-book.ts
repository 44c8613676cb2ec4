/** The models and prices in force, from billing. Versions are immutable and set in advance, so old news stays true. */
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { PriceBookAnswer, type Model } from "../billing/schema.ts";

/** Milliseconds between two polls: with the poll itself, a model that is switched off is gone within a second. */
const pollMs = 750;
const callTimeoutMs = 2_000;

export interface PriceBook {
  /** Throws `model_not_found`, or `unavailable` before the first answer of billing. */
  model(id: string): Model;
  models(): Model[];
  readonly loaded: boolean;
  close(): void;
}

export function createPriceBook(billing: InternalClient): PriceBook {
  let models: Map<string, Model> | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function poll(): Promise<void> {
    try {
      const answer = await billing.post("/price-book", {}, PriceBookAnswer, callTimeoutMs);
      models = new Map(answer.models.filter((model) => model.enabled).map((model) => [model.id, model]));
    } catch {
      // The book stays as it was: a price in it cannot become wrong, only a newer one be missed for a moment.
    }
    if (!closed) timer = setTimeout(poll, models ? pollMs : pollMs / 10);
  }

  void poll();

  function book(): Map<string, Model> {
    if (models) return models;
    throw new EpithreError("unavailable", "Cannot read the price list right now: try again shortly", { retryAfterS: 1 });
  }

  return {
    model(id) {
      const model = book().get(id);
      if (!model) {
        throw new EpithreError("model_not_found", "Cannot find this model: see GET /v1/models for the ones on offer", { param: "model" });
      }
      return model;
    },
    models: () => [...book().values()],
    get loaded() {
      return models !== undefined;
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
