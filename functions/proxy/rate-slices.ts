/**
 * Slices of keys' limits. A limit holds over all replicas: key-auth grants each of them a little of it at a time, and
 * this replica asks ahead, so that the warm path asks nobody. A slice counts as used when it is granted, and what was
 * not used of it within seconds goes back; it is a hundredth of the limit at most, so small limits have none, and every
 * call asks. Nothing is granted while key-auth is away: calls get 503 then, as they do without its feed.
 */
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { correctionsMax, SlicesAnswer, slicesPerCallMax } from "../key-auth/schema.ts";

/** Milliseconds between two reports of what was used more or less than taken. */
const reportMs = 250;
/** Milliseconds that a slice may lie here. */
const sliceMs = 5_000;
/** Milliseconds that a slice should last: one used up sooner is followed by one of twice the size. */
const sliceLastsMs = 1_000;
/** A first slice is asked for this many takings like the one that needs it. */
const takingsAhead = 8;
/** Below this share of the last slice, the next is asked for in the background. */
const lowShare = 0.5;
/** Milliseconds that a refusal stands here before key-auth is asked again: others may have given something back. */
const refusedMs = 250;
/** Milliseconds to wait for key-auth: longer than that and the caller is better off trying again. */
const callTimeoutMs = 900;
/** Milliseconds in which a taking counts, and after which a key's state here is forgotten. */
const minuteMs = 60_000;
/** Takings of one key that may wait. */
const waitingMax = 2_000;

export interface Rate {
  keyId: string;
  /** `throttle`: requests of all keys of an account, counted with one of them. */
  unit: "requests" | "tokens" | "throttle";
  perMinute: number;
}

export interface RateSlices {
  /**
   * Takes so much of a limit, this much or nothing. Answers 0 when it was taken, at once where a slice has it; else the
   * milliseconds until it may fit. Throws `unavailable` when key-auth does not answer.
   */
  take(rate: Rate, amount: number): number | Promise<number>;
  /** Of what was taken at that time, so much more was used; below zero, less. */
  correct(rate: Rate, amount: number, takenAtMs: number): void;
  /** As far as it is known here: how much can still be taken, and the milliseconds until all of it can. */
  stateOf(rate: Rate): { remaining: number; resetMs: number };
  /** Gives back what is here. */
  close(): Promise<void>;
}

interface Waiting {
  amount: number;
  resolve(waitMs: number): void;
  reject(error: EpithreError): void;
}

interface Meter {
  rate: Rate;
  /** Granted and not yet used. */
  left: number;
  /** What the last grant had beyond what waited: the slice. */
  slice: number;
  grantedAtMs: number;
  usedAtMs: number;
  waiting: Waiting[];
  asking: boolean;
  /** By the second of the monotonic clock in which it was taken. */
  corrections: Map<number, number>;
  remaining: number;
  resetAtMs: number;
  refused: { least: number; untilMs: number; fitsAtMs: number } | undefined;
}

export interface RateSlicesDeps {
  keyAuth: InternalClient;
  clock: Clock;
}

export function createRateSlices({ keyAuth, clock }: RateSlicesDeps): RateSlices {
  const meters = { requests: new Map<string, Meter>(), tokens: new Map<string, Meter>(), throttle: new Map<string, Meter>() };
  const allMeters = () => Object.values(meters).flatMap((each) => [...each.values()]);
  let asking: Meter[] = [];
  const calls = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;

  function meterOf(rate: Rate): Meter {
    const known = meters[rate.unit].get(rate.keyId);
    if (known) return known;
    const nowMs = clock.monotonicMs();
    const meter: Meter = {
      rate,
      left: 0,
      slice: 0,
      grantedAtMs: nowMs,
      usedAtMs: nowMs,
      waiting: [],
      asking: false,
      corrections: new Map(),
      remaining: rate.perMinute,
      resetAtMs: nowMs,
      refused: undefined,
    };
    meters[rate.unit].set(rate.keyId, meter);
    return meter;
  }

  /** A slice of another limit may be far too much of this one. */
  function changeLimit(meter: Meter, rate: Rate): void {
    giveBackSlice(meter);
    Object.assign(meter, { rate, remaining: Math.min(meter.remaining, rate.perMinute), refused: undefined });
  }

  function giveBackSlice(meter: Meter): void {
    note(meter, -meter.left, meter.grantedAtMs);
    Object.assign(meter, { left: 0, slice: 0 });
  }

  function note({ corrections }: Meter, amount: number, takenAtMs: number): void {
    if (amount === 0) return;
    const second = Math.floor(takenAtMs / 1_000);
    corrections.set(second, (corrections.get(second) ?? 0) + amount);
  }

  function ask(meter: Meter): void {
    if (meter.asking) return;
    meter.asking = true;
    if (asking.length === 0) queueMicrotask(askAll);
    asking.push(meter);
  }

  function askAll(): void {
    const all = asking;
    asking = [];
    for (let at = 0; at < all.length; at += slicesPerCallMax) {
      const call = askFor(all.slice(at, at + slicesPerCallMax)).finally(() => calls.delete(call));
      calls.add(call);
    }
  }

  async function askFor(batch: Meter[]): Promise<void> {
    const sentAtMs = clock.monotonicMs();
    const slices = batch.map((meter) => lineOf(meter, sentAtMs));
    try {
      const answer = await keyAuth.post("/slices", { slices }, SlicesAnswer, callTimeoutMs);
      for (const [index, meter] of batch.entries()) apply(meter, answer.slices[index]!, slices[index]!, sentAtMs);
    } catch {
      for (const [index, meter] of batch.entries()) failed(meter, slices[index]!, sentAtMs);
    }
  }

  function lineOf(meter: Meter, nowMs: number) {
    const { rate, left, waiting } = meter;
    const first = waiting.length === 0 ? 0 : Math.max(0, waiting[0]!.amount - left);
    const all = waiting.reduce((sum, { amount }) => sum + amount, 0);
    const busy = nowMs - meter.grantedAtMs < sliceLastsMs;
    const ahead = waiting.length > 0 || runsLow(meter) ? Math.max(first * takingsAhead, meter.slice * (busy ? 2 : 0.5)) : 0;
    return {
      keyId: rate.keyId,
      unit: rate.unit,
      first,
      waiting: Math.max(first, all - left),
      ahead: Math.min(rate.perMinute, Math.ceil(ahead)),
      corrections: takeCorrections(meter, nowMs),
    };
  }

  type Line = ReturnType<typeof lineOf>;

  function takeCorrections({ corrections }: Meter, nowMs: number): { ageS: number; amount: number }[] {
    const nowS = Math.floor(nowMs / 1_000);
    const all = [...corrections].map(([second, amount]) => ({ ageS: Math.max(0, nowS - second), amount }));
    corrections.clear();
    return all.slice(-correctionsMax);
  }

  function apply(meter: Meter, { granted, remaining, waitMs, resetMs }: SlicesAnswer["slices"][number], line: Line, sentAtMs: number): void {
    const nowMs = clock.monotonicMs();
    meter.asking = false;
    meter.remaining = remaining;
    meter.resetAtMs = nowMs + resetMs;
    if (line.ahead > 0) meter.slice = Math.max(0, granted - line.waiting);
    if (granted > 0) {
      // One time stands for all that is here: what lay here before counts as taken now, and frees later.
      meter.grantedAtMs = sentAtMs;
      meter.left += granted;
    }
    serve(meter);
    if (waitMs > 0) refuse(meter, nowMs, waitMs);
    if (meter.waiting.length > 0 || meter.corrections.size > 0) ask(meter);
  }

  /** First come, first served: a small taking does not overtake a large one that waits. */
  function serve(meter: Meter): void {
    while (meter.waiting.length > 0 && meter.waiting[0]!.amount <= meter.left) {
      const { amount, resolve } = meter.waiting.shift()!;
      meter.left -= amount;
      meter.usedAtMs = clock.monotonicMs();
      resolve(0);
    }
  }

  function refuse(meter: Meter, nowMs: number, waitMs: number): void {
    const first = meter.waiting[0];
    if (!first) return;
    meter.refused = { least: first.amount, untilMs: nowMs + refusedMs, fitsAtMs: nowMs + waitMs };
    const all = meter.waiting;
    meter.waiting = [];
    for (const each of all) {
      if (each.amount >= first.amount) each.resolve(waitMs);
      else meter.waiting.push(each);
    }
    serve(meter);
  }

  /** What became of the call is unknown. What was used counts again next time; what was given back is taken as lost. */
  function failed(meter: Meter, line: Line, sentAtMs: number): void {
    meter.asking = false;
    for (const { ageS, amount } of line.corrections) if (amount > 0) note(meter, amount, sentAtMs - ageS * 1_000);
    const waiting = meter.waiting;
    meter.waiting = [];
    for (const { reject } of waiting) {
      reject(new EpithreError("unavailable", "Cannot check the key's limits right now: try again shortly", { retryAfterS: 1 }));
    }
  }

  function report(): void {
    const nowMs = clock.monotonicMs();
    for (const meter of allMeters()) {
      if (meter.left > 0 && nowMs - meter.grantedAtMs >= sliceMs) giveBackSlice(meter);
      if (meter.corrections.size > 0) ask(meter);
      else if (isIdle(meter, nowMs)) meters[meter.rate.unit].delete(meter.rate.keyId);
    }
  }

  function loop(): void {
    report();
    timer = setTimeout(loop, reportMs);
  }
  timer = setTimeout(loop, reportMs);

  return {
    take(rate, amount) {
      const meter = meterOf(rate);
      if (meter.rate.perMinute !== rate.perMinute) changeLimit(meter, rate);
      const nowMs = clock.monotonicMs();
      meter.usedAtMs = nowMs;
      if (meter.waiting.length === 0 && meter.left >= amount) {
        meter.left -= amount;
        if (runsLow(meter)) ask(meter);
        return 0;
      }
      const { refused } = meter;
      if (refused && nowMs < refused.untilMs && amount >= refused.least) return Math.max(1, refused.fitsAtMs - nowMs);
      if (meter.waiting.length >= waitingMax) {
        throw new EpithreError("overloaded", "Cannot take this request now: too many of this key wait. Try again.", { retryAfterS: 1 });
      }
      return new Promise((resolve, reject) => {
        meter.waiting.push({ amount, resolve, reject });
        ask(meter);
      });
    },
    correct(rate, amount, takenAtMs) {
      const nowMs = clock.monotonicMs();
      // What was given back after its minute has no count left to be taken from.
      if (amount === 0 || (amount < 0 && nowMs - takenAtMs >= minuteMs)) return;
      const meter = meterOf(rate);
      note(meter, amount, amount > 0 ? nowMs : takenAtMs);
      meter.usedAtMs = nowMs;
      meter.refused = undefined;
    },
    stateOf(rate) {
      const { remaining, left, resetAtMs } = meterOf(rate);
      return { remaining: remaining + left, resetMs: Math.max(0, resetAtMs - clock.monotonicMs()) };
    },
    async close() {
      clearTimeout(timer);
      for (const meter of allMeters()) {
        giveBackSlice(meter);
        if (meter.corrections.size > 0) ask(meter);
      }
      await Promise.resolve();
      await Promise.all(calls);
    },
  };
}

/** Asks ahead only while key-auth gives more than what was needed: near the limit every taking asks. */
function runsLow({ left, slice }: Meter): boolean {
  return slice > 0 && left < slice * lowShare;
}

function isIdle({ left, waiting, asking, usedAtMs }: Meter, nowMs: number): boolean {
  return left === 0 && waiting.length === 0 && !asking && nowMs - usedAtMs >= minuteMs;
}
