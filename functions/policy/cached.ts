/** Work that many ask for and that is done once: its answer is everybody's for a while. */
import type { Clock } from "#shared/clock.ts";

/** `work` must not throw. */
export function createCached<T>(work: () => Promise<T>, keptMs: number, clock: Pick<Clock, "monotonicMs">): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let keptUntilMs = 0;

  return function cached() {
    if (answer && clock.monotonicMs() < keptUntilMs) return answer;
    // While it is at work, who comes waits for the same.
    keptUntilMs = Number.POSITIVE_INFINITY;
    answer = work().finally(() => {
      keptUntilMs = clock.monotonicMs() + keptMs;
    });
    return answer;
  };
}
