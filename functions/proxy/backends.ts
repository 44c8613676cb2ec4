/** The inference engines: which one takes a call, and what is known of their health. */
import { writeAsOne } from "openfaas-node";
import { buildConnector, Pool } from "undici";
import { type BackendConfig, pathPrefixOf } from "#shared/backends.ts";
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import { createPrivateLookup } from "#shared/private-address.ts";

/** Failures in a row, before any byte of an answer, after which a backend gets no calls for a while. */
const failuresToOpen = 5;
/** Milliseconds that a failing backend is left alone. */
const openMs = 2_000;
/** Milliseconds between health checks of a backend that is left alone, and for each of them. */
const checkMs = 500;
/** Milliseconds to connect: the engines are on the same network. */
const connectTimeoutMs = 2_000;

export interface Backend {
  index: number;
  type: BackendConfig["type"];
  serves(modelId: string): boolean;
  pool: Pool;
  inFlight: number;
  /** Path of its URL, put before the endpoint's: `/v1` or a prefix. */
  pathPrefix: string;
  /** Call once an answer's head has come (`true`) or the call failed before it (`false`). */
  report(answered: boolean): void;
}

export interface Backends {
  /** The healthy one with the least in flight; throws `overloaded` when no backend for the model is usable. */
  choose(modelId: string, except?: ReadonlySet<Backend>): Backend;
  states(): { index: number; inFlight: number; healthy: boolean }[];
  close(): Promise<void>;
}

export interface BackendsDeps {
  configs: BackendConfig[];
  firstByteTimeoutMs: number;
  idleTimeoutMs: number;
  clock: Clock;
  log: Log;
}

/** Connections to private addresses only; a request's head and body leave as one. */
function createConnector(): buildConnector.connector {
  const connect = buildConnector({ timeout: connectTimeoutMs, lookup: createPrivateLookup() });
  return (options, connected) =>
    connect(options, (...outcome) => {
      if (outcome[1]) writeAsOne(outcome[1]);
      connected(...outcome);
    });
}

export function createBackends({ configs, firstByteTimeoutMs, idleTimeoutMs, clock, log }: BackendsDeps): Backends {
  const timers = new Set<NodeJS.Timeout>();
  const all = configs.map((config, index) => {
    const url = new URL(config.url);
    const models = config.models && new Set(config.models);
    let failures = 0;
    let leftAloneUntilMs = 0;
    const backend = {
      index,
      type: config.type,
      serves: (modelId: string) => !models || models.has(modelId),
      pool: new Pool(url.origin, {
        connections: null,
        pipelining: 1,
        headersTimeout: firstByteTimeoutMs,
        bodyTimeout: idleTimeoutMs,
        connect: createConnector(),
      }),
      inFlight: 0,
      pathPrefix: pathPrefixOf(config),
      get healthy() {
        return failures < failuresToOpen || clock.monotonicMs() >= leftAloneUntilMs;
      },
      report(answered: boolean) {
        if (answered) {
          if (failures >= failuresToOpen) log({ at: "backend_healthy", backend: index });
          failures = 0;
          return;
        }
        failures += 1;
        if (failures < failuresToOpen) return;
        leftAloneUntilMs = clock.monotonicMs() + openMs;
        if (failures > failuresToOpen) return;
        log({ at: "backend_unhealthy", backend: index });
        checkUntilHealthy();
      },
    };

    /** A recovered engine gets calls again as soon as its health route answers. */
    function checkUntilHealthy(): void {
      const timer = setTimeout(async () => {
        timers.delete(timer);
        try {
          const { statusCode, body } = await backend.pool.request({
            method: "GET",
            path: `${backend.pathPrefix}/health`,
            signal: AbortSignal.timeout(checkMs),
          });
          await body.dump();
          if (statusCode < 500) backend.report(true);
        } catch {
          // Still away.
        }
        if (failures >= failuresToOpen) checkUntilHealthy();
      }, checkMs);
      timer.unref();
      timers.add(timer);
    }

    return backend;
  });

  return {
    choose(modelId, except) {
      let best: (typeof all)[number] | undefined;
      for (const backend of all) {
        if (!backend.serves(modelId) || !backend.healthy || except?.has(backend)) continue;
        if (!best || backend.inFlight < best.inFlight) best = backend;
      }
      if (best) return best;
      throw new EpithreError("overloaded", "Cannot reach an engine for this model right now: try again shortly", { retryAfterS: 2 });
    },
    states: () => all.map(({ index, inFlight, healthy }) => ({ index, inFlight, healthy })),
    async close() {
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(all.map((backend) => backend.pool.destroy()));
    },
  };
}
