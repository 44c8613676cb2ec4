import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createLog } from "#shared/log.ts";
import { configShape } from "./config.ts";
import { createEngines } from "./engines.ts";
import { createHandler } from "./handler.ts";
import { createMetrics } from "./metrics.ts";

/** Bytes. The schedule sends no body. */
const bodyBytesMax = 1_024;

/** Milliseconds for summing a few minutes of the ledger; nobody waits for it. */
const statementTimeoutMs = 15_000;

run(async () => {
  const { databaseUrl: url, backends, port, hostname, ...limits } = readConfig(configShape);
  const log = createLog("reconcile");
  const engines = createEngines(backends);
  const metrics = createMetrics();
  return serve({
    name: "reconcile",
    port,
    hostname,
    log,
    bodyBytesMax,
    handler: createHandler({ open: () => connect({ url, connections: 1, statementTimeoutMs }), engines, metrics, log, ...limits }),
    metrics: metrics.text,
    onStop: engines.close,
  });
});
