/** The gateway's metrics, by the names that OpenFaaS's gateway gives them. Labels hold function names and codes only. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { namespace } from "./routes.ts";

export interface GatewayMetrics {
  started(name: string): void;
  completed(name: string, status: number, seconds: number): void;
  cronCompleted(name: string, outcome: "answered" | "failed"): void;
  invocations(name: string): number;
  text(): Promise<string>;
}

/** `replicas` tells how many processes of each function take requests right now. */
export function createGatewayMetrics(replicas: () => { name: string; available: number }[]): GatewayMetrics {
  const registers = [new Registry()];
  const started = new Counter({
    name: "gateway_function_invocation_started",
    help: "The total number of function HTTP requests started.",
    labelNames: ["function_name"],
    registers,
  });
  const completed = new Counter({
    name: "gateway_function_invocation_total",
    help: "Function metrics",
    labelNames: ["function_name", "code"],
    registers,
  });
  const seconds = new Histogram({
    name: "gateway_functions_seconds",
    help: "Function time taken",
    labelNames: ["function_name", "code"],
    registers,
  });
  new Gauge({
    name: "gateway_service_count",
    help: "Current count of replicas for function",
    labelNames: ["function_name"],
    registers,
    collect() {
      for (const { name, available } of replicas()) this.set({ function_name: fullName(name) }, available);
    },
  });
  const cron = new Counter({
    name: "epithre_local_cron_calls_total",
    help: "Calls made by the local schedule.",
    labelNames: ["function_name", "outcome"],
    registers,
  });
  const invocations = new Map<string, number>();

  return {
    started(name) {
      started.inc({ function_name: fullName(name) });
      invocations.set(name, (invocations.get(name) ?? 0) + 1);
    },
    completed(name, status, duration) {
      const labels = { function_name: fullName(name), code: status };
      completed.inc(labels);
      seconds.observe(labels, duration);
    },
    cronCompleted: (name, outcome) => cron.inc({ function_name: fullName(name), outcome }),
    invocations: (name) => invocations.get(name) ?? 0,
    text: () => registers[0]!.metrics(),
  };
}

function fullName(name: string): string {
  return `${name}.${namespace}`;
}
