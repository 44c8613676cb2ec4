/** The proxy's own counters for Prometheus. No label can carry a person or content: statuses, models, outcomes. */
import { Counter, Gauge, Registry } from "prom-client";
import type { Backend } from "./backends.ts";
import type { Usage } from "./call.ts";
import type { UsageSource } from "./relay-stream.ts";

export interface ProxyMetrics {
  answered(status: number): void;
  used(model: string, usage: Usage): void;
  usageRead(source: UsageSource, backend: Backend): void;
  settled(outcome: "settled" | "superseded" | "refused" | "voided"): void;
  text(): Promise<string>;
}

/** Gauges are read when Prometheus asks. */
export interface ProxyGauges {
  runningCalls(): number;
  openLeases(): number;
  waitingSettlements(): number;
  bodyBytes(): number;
}

export function createMetrics(gauges: ProxyGauges): ProxyMetrics {
  const registers = [new Registry()];
  const requests = new Counter({
    name: "epithre_proxy_requests_total",
    help: "Requests answered, by HTTP status.",
    labelNames: ["status"],
    registers,
  });
  const tokens = new Counter({
    name: "epithre_proxy_tokens_total",
    help: "Tokens metered, by model and direction.",
    labelNames: ["model", "direction"],
    registers,
  });
  const usageSources = new Counter({
    name: "epithre_proxy_usage_source_total",
    help: "Where a request's usage came from: reported by the engine, counted by chunks, invalid (never charged), or none.",
    labelNames: ["source", "backend"],
    registers,
  });
  const settlements = new Counter({
    name: "epithre_proxy_settlements_total",
    help: "Final outcomes of settlements.",
    labelNames: ["outcome"],
    registers,
  });
  for (const [name, help, read] of [
    ["running_calls", "Calls at a backend now.", gauges.runningCalls],
    ["open_leases", "Leases held by this replica.", gauges.openLeases],
    ["waiting_settlements", "Settlements not yet committed.", gauges.waitingSettlements],
    ["body_bytes", "Bytes of request bodies in memory.", gauges.bodyBytes],
  ] as const) {
    new Gauge({
      name: `epithre_proxy_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }

  return {
    answered: (status) => requests.inc({ status }),
    used(model, { promptTokens, completionTokens }) {
      tokens.inc({ model, direction: "prompt" }, promptTokens);
      tokens.inc({ model, direction: "completion" }, completionTokens);
    },
    usageRead: (source, backend) => usageSources.inc({ source, backend: backend.index }),
    settled: (outcome) => settlements.inc({ outcome }),
    text: () => registers[0]!.metrics(),
  };
}
