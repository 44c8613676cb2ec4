/** All SQL of replay. Each statement is a transaction of its own and reads one page, so that nothing waits for it. */
import type { Sql } from "#shared/db.ts";
import type { Quantities, Rates } from "#shared/pricing.ts";

export interface PriceVersion extends Rates {
  version: number;
  modelId: number;
  /** Microseconds would be lost: times are compared with seconds of room. */
  effectiveAtMs: number;
  /** When another price of the model came into force; `null` for the last one. */
  supersededAtMs: number | null;
}

/** Each version, also the lines of images, which are in force as long as their price is. */
export async function readPrices(sql: Sql): Promise<PriceVersion[]> {
  const rows = await sql<Record<keyof PriceVersion, bigint | number | null>[]>`
    with succession as (
      select version, lead(effective_at) over (partition by model_id order by effective_at, version) as superseded_at
      from prices where line_of is null
    )
    select
      p.version, p.model_id as "modelId", p.input_micro as "inputMicro", p.cached_input_micro as "cachedInputMicro",
      p.output_micro as "outputMicro", p.image_micro as "imageMicro",
      extract(epoch from p.effective_at)::double precision * 1000 as "effectiveAtMs",
      extract(epoch from s.superseded_at)::double precision * 1000 as "supersededAtMs"
    from prices p
    join succession s on s.version = coalesce(p.line_of, p.version)
  `;
  return rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value === null ? null : Number(value)])) as unknown as PriceVersion);
}

export interface Charge extends Quantities {
  id: string;
  priceVersion: number;
  modelId: number;
  latencyMs: number;
  costMicro: bigint;
}

/** Now, as the id that a request of this moment would have: what comes later is not replayed. */
export async function idOfNow(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select uuidv7_floor(now()) as id`;
  return row!.id;
}

/** Usage events after one id and before another, oldest first. */
export async function readCharges(sql: Sql, after: string, before: string, rowsMax: number): Promise<Charge[]> {
  return sql<Charge[]>`
    select
      id, price_version as "priceVersion", model_id as "modelId", latency_ms as "latencyMs", cost_micro as "costMicro",
      prompt_tokens as "promptTokens", cached_tokens as "cachedTokens", completion_tokens as "completionTokens", images
    from usage_events
    where id > ${after} and id < ${before}
    order by id
    limit ${rowsMax}
  `;
}

/** What requests cost beyond what their account had, in micro-rupiah, by the day (UTC) of their settlement. */
export async function readLosses(sql: Sql): Promise<{ day: string; modelId: number; lossMicro: bigint }[]> {
  return sql<{ day: string; modelId: number; lossMicro: bigint }[]>`
    select day::text as day, model_id as "modelId", loss_micro as "lossMicro" from operator_losses
  `;
}
