/**
 * Proves every charge of the 90 days that usage events live: each cost is computed again from the event's quantities
 * and its price version, by the code that charged it (shared/pricing.ts). A usage event needs no more than what was
 * promised for that: the version says by which price, and for images by which line of it.
 */
import { uuidv7TimeMs } from "#shared/ids.ts";
import type { Sql } from "#shared/db.ts";
import { priceOf } from "#shared/pricing.ts";
import { type Charge, idOfNow, type PriceVersion, readCharges, readLosses, readPrices } from "./queries.ts";

/** Why a charge is not proven. `below_price` is explained where the operator's losses have what is missing. */
export const reasons = ["above_price", "below_price", "unknown_price", "price_of_another_model", "price_not_in_force"] as const;
export type Reason = (typeof reasons)[number];

export interface Report {
  checked: number;
  /** Charged exactly the price. */
  exact: number;
  /** Charged less than the price, and what is missing is in the operator's losses. */
  operatorLoss: { events: number; micro: number };
  unexplained: Record<Reason, number>;
  /** Ids of unexplained requests, the first of each reason. */
  examples: Record<Reason, string[]>;
}

/** Rows of one page: some 30 ms of the database's time. */
const pageRowsMax = 5_000;

const examplesMax = 10;

/**
 * Milliseconds that a proxy may go on with a price after its successor's time: it asks for new ones each second, and
 * without an answer of billing it goes on for as long as its leases live.
 */
const staleMsMax = 60_000;

const dayMs = 86_400_000;

export async function replay(sql: Sql, rowsMax = pageRowsMax): Promise<Report> {
  const report: Report = {
    checked: 0,
    exact: 0,
    operatorLoss: { events: 0, micro: 0 },
    unexplained: Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>,
    examples: Object.fromEntries(reasons.map((reason) => [reason, []])) as unknown as Record<Reason, string[]>,
  };
  const until = await idOfNow(sql);
  // Prices are never changed, so those of now have all that events of before now name.
  const prices = new Map((await readPrices(sql)).map((price) => [price.version, price]));
  const short = createShortfalls();

  function note(reason: Reason, ids: string[]): void {
    report.unexplained[reason] += ids.length;
    report.examples[reason].push(...ids.slice(0, examplesMax - report.examples[reason].length));
  }

  function check(charge: Charge): void {
    report.checked += 1;
    const price = prices.get(charge.priceVersion);
    const fault = faultOf(charge, price);
    if (fault) return note(fault, [charge.id]);
    const missing = priceOf(charge, price!) - Number(charge.costMicro);
    if (missing === 0) report.exact += 1;
    else if (missing < 0) note("above_price", [charge.id]);
    else short.add(charge, missing);
  }

  let after = "00000000-0000-0000-0000-000000000000";
  for (;;) {
    const page = await readCharges(sql, after, until, rowsMax);
    for (const charge of page) check(charge);
    if (page.length < rowsMax) break;
    after = page.at(-1)!.id;
  }

  // Losses are read last, so that they have those of all events above.
  for (const { ids, micro, covered } of short.settle(await readLosses(sql))) {
    if (!covered) note("below_price", ids);
    else {
      report.operatorLoss.events += ids.length;
      report.operatorLoss.micro += micro;
    }
  }
  return report;
}

export function isProven({ unexplained }: Report): boolean {
  return Object.values(unexplained).every((count) => count === 0);
}

/** A price version that the event cannot have been charged by. Prices are chosen between a request's start and its end. */
function faultOf({ id, modelId, latencyMs }: Charge, price: PriceVersion | undefined): Reason | undefined {
  if (!price) return "unknown_price";
  if (price.modelId !== modelId) return "price_of_another_model";
  const startMs = uuidv7TimeMs(id);
  if (price.effectiveAtMs > startMs + latencyMs + staleMsMax) return "price_not_in_force";
  if (price.supersededAtMs !== null && price.supersededAtMs < startMs - staleMsMax) return "price_not_in_force";
  return undefined;
}

interface Shortfall {
  modelId: number;
  day: number;
  ids: string[];
  micro: number;
}

/**
 * What was charged below its price, by model and day, against the operator's losses. A loss is booked on the day of
 * the settlement: the event's own, or the next. Losses whose events were erased are more than is needed, never less.
 */
function createShortfalls() {
  const all = new Map<string, Shortfall>();
  const keyOf = (modelId: number, day: number) => `${modelId} ${day}`;
  return {
    add({ id, modelId }: Charge, micro: number): void {
      const day = Math.floor(uuidv7TimeMs(id) / dayMs);
      const shortfall = all.get(keyOf(modelId, day)) ?? { modelId, day, ids: [], micro: 0 };
      shortfall.ids.push(id);
      shortfall.micro += micro;
      all.set(keyOf(modelId, day), shortfall);
    },
    /** Oldest first: what a day does not need of its own losses, the day before may have used. */
    settle(losses: { day: string; modelId: number; lossMicro: bigint }[]): (Shortfall & { covered: boolean })[] {
      const left = new Map(losses.map(({ day, modelId, lossMicro }) => [keyOf(modelId, Date.parse(day) / dayMs), Number(lossMicro)]));
      return [...all.values()]
        .sort((one, other) => one.day - other.day)
        .map((shortfall) => {
          let missing = shortfall.micro;
          for (const day of [shortfall.day, shortfall.day + 1]) {
            const key = keyOf(shortfall.modelId, day);
            const used = Math.min(missing, left.get(key) ?? 0);
            left.set(key, (left.get(key) ?? 0) - used);
            missing -= used;
          }
          return { ...shortfall, covered: missing === 0 };
        });
    },
  };
}
