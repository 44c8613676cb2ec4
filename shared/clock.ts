/**
 * Two clocks, never mixed: `monotonicMs` measures spans (leases, time-outs, freshness) and never jumps;
 * `wallMs` names moments and is corrected to the database's clock by whoever polls it.
 */
export interface Clock {
  monotonicMs(): number;
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** A wall clock that follows the database's: each answer of an internal call that carries its time corrects it. */
export function createDatabaseClock(clock: Clock): Clock & { correct(databaseNowMs: number): void } {
  let offsetMs: number | undefined;
  return {
    monotonicMs: clock.monotonicMs,
    wallMs: () => (offsetMs === undefined ? clock.wallMs() : clock.monotonicMs() + offsetMs),
    correct(databaseNowMs) {
      offsetMs = databaseNowMs - clock.monotonicMs();
    },
  };
}
