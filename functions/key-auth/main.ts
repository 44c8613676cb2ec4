import { run, serve } from "openfaas-node";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createLog } from "#shared/log.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. 256 slices with 64 corrections each. */
const bodyBytesMax = 1024 * 1024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("key-auth");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const edgeSecrets = {
    proxy: config.proxySecret, billing: config.billingSecret, export: config.exportSecret, accounts: config.accountsSecret,
  };
  return serve({
    name: "key-auth",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    nodeHandler: createHandler({ edgeSecrets, database, clock: systemClock, sessionKeys: config.sessionKeys }).node,
    onStop: database.close,
  });
});
