/**
 * Settlements on their way to usage-record: one batch in flight, the next gathers meanwhile. A settlement whose outcome
 * stays unknown for 5 s is given up as void under the same request id; whichever commits first stands.
 */
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import type { Log } from "#shared/log.ts";
import type { Hold } from "./leases.ts";
import { settlementsPerCallMax, SettlementsAnswer, type Settlement } from "../usage-record/schema.ts";

/** Milliseconds after which an unknown outcome is voided and the caller told. */
const unknownAfterMs = 5_000;
/** Milliseconds for one call to usage-record. */
const callTimeoutMs = 2_500;
/** Milliseconds between tries while usage-record does not answer. */
const retryMs = 100;
/** Milliseconds that a batch waits for calls that are about to end, while several run. */
const gatherMs = 1;
/** Share of the running calls that a batch waits for: beyond half, waiting costs more than another batch. */
const gatherShare = 0.5;
/** Settlements that may wait; beyond it new calls are refused before they cost anything. */
const waitingMax = 50_000;

interface Waiting {
  settlement: Settlement;
  hold: Hold;
  queuedAtMs: number;
  /** Set once the caller was told that the outcome is unknown. */
  voided: boolean;
  resolve(chargedMicro: number): void;
  reject(error: EpithreError): void;
}

export interface Settlements {
  /**
   * Resolves with the charge once it is committed. Throws `not_settled` when the outcome was unknown for too long or
   * the settlement was refused: nothing complete may then reach the caller. The hold is released when the outcome is
   * known for certain, which can be later than that.
   */
  settle(settlement: Settlement, hold: Hold): Promise<number>;
  /** Throws `unavailable` when too many settlements wait. */
  checkRoom(): void;
  readonly waiting: number;
  /** Resolves when nothing waits any more. */
  drained(): Promise<void>;
}

export interface SettlementsDeps {
  usageRecord: InternalClient;
  clock: Clock;
  log: Log;
  /** Calls that run now, those that wait for their settlement excepted. */
  runningCalls(): number;
  /** Each final outcome, for the metrics. */
  onOutcome(outcome: "settled" | "superseded" | "refused" | "voided"): void;
}

export function createSettlements({ usageRecord, clock, log, runningCalls, onOutcome }: SettlementsDeps): Settlements {
  let queue: Waiting[] = [];
  let inFlight = 0;
  let running = false;
  const idle: (() => void)[] = [];
  /** Ends a wait for more settlements. */
  let gathered: (() => void) | undefined;

  async function run(): Promise<void> {
    running = true;
    let tellCallers: () => void = nothing;
    while (queue.length > 0) {
      if (!isGathered()) {
        tellCallers();
        tellCallers = nothing;
        await gather();
      }
      const batch = queue.slice(0, settlementsPerCallMax);
      queue = queue.slice(settlementsPerCallMax);
      inFlight = batch.length;
      const sending = send(batch);
      // The next batch is on its way before the last one's callers are answered, which takes as long as a commit.
      tellCallers();
      const results = await sending;
      inFlight = 0;
      tellCallers = results ? () => finishAll(batch, results) : nothing;
      if (!results) await tryLater(batch);
    }
    tellCallers();
    running = false;
    for (const resolve of idle.splice(0)) resolve();
  }

  /** A commit costs as much for one row as for dozens: with much under way, a batch waits a moment for more. */
  async function gather(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      gathered = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    gathered = undefined;
  }

  const isGathered = () => queue.length >= runningCalls() * gatherShare;

  /** `undefined` when the outcome is unknown. */
  async function send(batch: Waiting[]): Promise<SettlementsAnswer["results"] | undefined> {
    try {
      const body = { settlements: batch.map(({ settlement }) => settlement) };
      const { results } = await usageRecord.post("/settlements", body, SettlementsAnswer, callTimeoutMs);
      return results.length === batch.length ? results : undefined;
    } catch {
      return undefined;
    }
  }

  async function tryLater(batch: Waiting[]): Promise<void> {
    queue = [...batch, ...queue];
    await new Promise((resolve) => setTimeout(resolve, retryMs));
    giveUpOld();
  }

  function finishAll(batch: Waiting[], results: SettlementsAnswer["results"]): void {
    for (const [index, waiting] of batch.entries()) finish(waiting, results[index]!);
  }

  function finish(waiting: Waiting, { outcome, chargedMicro }: SettlementsAnswer["results"][number]): void {
    waiting.hold.release(outcome === "refused" ? 0 : chargedMicro);
    if (waiting.voided) {
      onOutcome(outcome === "settled" ? "voided" : outcome);
      return;
    }
    onOutcome(outcome);
    if (outcome === "settled") waiting.resolve(chargedMicro);
    else {
      if (outcome === "refused") log({ at: "settlement_refused", rows: 1 });
      waiting.reject(notSettled());
    }
  }

  function giveUpOld(): void {
    const before = clock.monotonicMs() - unknownAfterMs;
    let rows = 0;
    for (const waiting of queue) {
      if (waiting.voided || waiting.queuedAtMs > before) continue;
      rows += 1;
      waiting.voided = true;
      waiting.settlement = voided(waiting.settlement);
      waiting.reject(notSettled());
    }
    if (rows > 0) log({ at: "settlement_unknown", rows });
  }

  return {
    settle(settlement, hold) {
      return new Promise((resolve, reject) => {
        queue.push({ settlement, hold, queuedAtMs: clock.monotonicMs(), voided: false, resolve, reject });
        if (gathered && isGathered()) gathered();
        // The rest of this turn of the event loop still joins the batch.
        if (!running) {
          running = true;
          setImmediate(run);
        }
      });
    },
    checkRoom() {
      if (queue.length < waitingMax) return;
      throw new EpithreError("unavailable", "Cannot meter requests right now: try again shortly", { retryAfterS: 2 });
    },
    get waiting() {
      return queue.length + inFlight;
    },
    drained() {
      return running ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve();
    },
  };
}

const nothing = () => {};

const notSettled = () =>
  new EpithreError("not_settled", "Cannot complete this request: its usage could not be recorded. You can try again.", { retryAfterS: 2 });

/** What stands for a request whose real settlement never became known: no tokens, no cost, 503. */
function voided(settlement: Settlement): Settlement {
  return {
    ...settlement,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    images: 0,
    costMicro: 0,
    status: 503,
  };
}
