/** The end of a model: announced on each call to it, then refused. */
import { EpithreError } from "#shared/errors.ts";
import { isRetired } from "#shared/price-list.ts";
import type { Model } from "../billing/schema.ts";
import type { FlatHeaders } from "./responses.ts";

/** Throws `model_retired` from the model's date on. */
export function refuseRetired(model: Model, nowMs: number): void {
  if (!isRetired(model, nowMs)) return;
  const day = new Date(model.retirement!.retiresAtMs).toISOString().slice(0, 10);
  throw new EpithreError("model_retired", `Cannot use this model: it was retired on ${day}. See GET /v1/models for the ones on offer.`, {
    param: "model",
  });
}

/** `headers`, with Deprecation (RFC 9745) and Sunset (RFC 8594) where the model's retirement is announced. */
export function withRetirement(headers: FlatHeaders, { retirement }: Model): FlatHeaders {
  if (!retirement) return headers;
  const { announcedAtMs, retiresAtMs } = retirement;
  return [...headers, "deprecation", `@${Math.floor(announcedAtMs / 1_000)}`, "sunset", new Date(retiresAtMs).toUTCString()];
}
