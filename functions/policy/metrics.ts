/** For alerts: which promises are red, and how much time the oldest data has. Reading them measures, once a minute at most. */
import { Gauge, Registry } from "prom-client";
import type { Evidence } from "./evidence.ts";

export function createMetrics(read: () => Promise<Evidence>): () => Promise<string> {
  const registers = [new Registry()];
  const broken = new Gauge({
    name: "epithre_promise_broken",
    help: "1 for a promise of the policy that is not kept, or not shown to be kept; 0 for the others.",
    labelNames: ["promise"],
    registers,
  });
  const margins = new Gauge({
    name: "epithre_retention_margin_hours",
    help: "Hours that the oldest row has until it must be gone from live data.",
    labelNames: ["store"],
    registers,
  });
  const age = new Gauge({ name: "epithre_evidence_age_seconds", help: "Since the evidence was measured; absent before.", registers });

  return async function text() {
    const { judgements, stores, facts, judgedAt } = await read();
    for (const { id, state } of judgements) broken.set({ promise: id }, state === "kept" ? 0 : 1);
    margins.reset();
    for (const { store, marginHours } of stores) margins.set({ store }, marginHours);
    age.reset();
    if (facts) age.set((judgedAt.getTime() - facts.measuredAt.getTime()) / 1_000);
    else age.remove();
    return registers[0]!.metrics();
  };
}
