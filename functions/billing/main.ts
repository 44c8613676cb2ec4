import { run, serve } from "openfaas-node";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createLog } from "#shared/log.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. 256 grants with 64 needs each, or 1,000 reports. */
const bodyBytesMax = 1024 * 1024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("billing");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const edgeSecrets = { proxy: config.proxySecret };
  return serve({
    name: "billing",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    nodeHandler: createHandler({ edgeSecrets, database, clock: systemClock, leaseTtlMs: config.leaseTtlMs }).node,
    onStop: database.close,
  });
});
