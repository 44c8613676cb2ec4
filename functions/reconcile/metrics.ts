/** The capture rate for Prometheus, as of this process's last run. */
import { Gauge, Registry } from "prom-client";
import type { Captured } from "./queries.ts";

export interface ReconcileMetrics {
  captured(all: Captured[], enginesMissing: number): void;
  text(): Promise<string>;
}

export function createMetrics(): ReconcileMetrics {
  const registers = [new Registry()];
  const labelNames = ["model", "direction"] as const;
  const rates = new Gauge({
    name: "epithre_reconcile_capture_rate",
    help: "Tokens settled, as a share of those that the engines counted in the same time.",
    labelNames,
    registers,
  });
  const gaps = new Gauge({
    name: "epithre_reconcile_gap_tokens",
    help: "Tokens that the engines counted and nobody settled; negative for tokens that no engine counted.",
    labelNames,
    registers,
  });
  const missing = new Gauge({ name: "epithre_reconcile_engines_missing", help: "Engines that did not answer.", registers });

  return {
    captured(all, enginesMissing) {
      rates.reset();
      gaps.reset();
      for (const { model, ...tokens } of all) {
        for (const [direction, engine, ledger] of [
          ["prompt", tokens.enginePromptTokens, tokens.ledgerPromptTokens],
          ["completion", tokens.engineCompletionTokens, tokens.ledgerCompletionTokens],
        ] as const) {
          if (engine > 0 || ledger > 0) rates.set({ model, direction }, ledger / engine);
          gaps.set({ model, direction }, engine - ledger);
        }
      }
      missing.set(enginesMissing);
    },
    text: () => registers[0]!.metrics(),
  };
}
