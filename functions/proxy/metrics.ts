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
  /** Whether each engine gets calls, as the last ones found it. */
  engines(): { index: number; healthy: boolean }[];
}

/**
 * Counts in plain numbers and hands them to the client library when Prometheus asks: its own counters look their
 * labels up at each call, which at thousands of requests a second is a noticeable share of the hot path.
 */
function createCount(name: string, help: string, labelNames: string[], registers: Registry[]) {
  const counts = new Map<string, number>();
  new Counter({
    name,
    help,
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const [key, count] of counts) {
        const values = key.split(separator);
        this.inc(Object.fromEntries(labelNames.map((label, index) => [label, values[index]!])), count);
      }
    },
  });
  return function add(key: string, amount = 1): void {
    counts.set(key, (counts.get(key) ?? 0) + amount);
  };
}

/** Between the values of several labels: in no status, model name or outcome. */
const separator = " ";

export function createMetrics(gauges: ProxyGauges): ProxyMetrics {
  const registers = [new Registry()];
  const requests = createCount("epithre_proxy_requests_total", "Requests answered, by HTTP status.", ["status"], registers);
  const tokens = createCount(
    "epithre_proxy_tokens_total",
    "Tokens metered, by model and direction.",
    ["model", "direction"],
    registers,
  );
  const usageSources = createCount(
    "epithre_proxy_usage_source_total",
    "Where a request's usage came from: reported by the engine, counted by chunks, invalid (never charged), or none.",
    ["source", "backend"],
    registers,
  );
  const settlements = createCount("epithre_proxy_settlements_total", "Final outcomes of settlements.", ["outcome"], registers);
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
  // The status page reads it, too.
  new Gauge({
    name: "epithre_proxy_engine_healthy",
    help: "1 for an engine that gets calls, 0 for one that the last calls found away.",
    labelNames: ["backend"],
    registers,
    collect() {
      for (const { index, healthy } of gauges.engines()) this.set({ backend: String(index) }, healthy ? 1 : 0);
    },
  });

  return {
    answered: (status) => requests(String(status)),
    used(model, { promptTokens, completionTokens }) {
      tokens(`${model}${separator}prompt`, promptTokens);
      tokens(`${model}${separator}completion`, completionTokens);
    },
    usageRead: (source, backend) => usageSources(`${source}${separator}${backend.index}`),
    settled: (outcome) => settlements(outcome),
    text: () => registers[0]!.metrics(),
  };
}
