/** Why billing gives no money for a call, in the caller's words. */
import { EpithreError } from "#shared/errors.ts";
import type { MicroRupiah } from "#shared/money.ts";
import type { Grant } from "../billing/schema.ts";

export type Refusal = Extract<Grant, { outcome: "insufficient" | "over_budget" }>;

export function refusal(why: Refusal, neededMicro: MicroRupiah): EpithreError {
  const have = `${Math.floor(why.availableMicro / 10_000) / 100} rupiah`;
  const need = `${Math.ceil(neededMicro / 10_000) / 100} rupiah`;
  if (why.outcome === "insufficient") {
    return new EpithreError(
      "insufficient_quota",
      `Cannot reserve the most this request can cost: ${have} available, ${need} needed. Top up, or ask for fewer tokens.`,
    );
  }
  return new EpithreError(
    "budget_exceeded",
    `Cannot reserve the most this request can cost: ${have} left of the key's monthly budget, ${need} needed. It renews at ${new Date(why.renewsAtMs).toISOString()}; raise it, or ask for fewer tokens.`,
  );
}
