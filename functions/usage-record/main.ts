import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createLog } from "#shared/log.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. 512 settlements of about 600 characters. */
const bodyBytesMax = 1024 * 1024;

/** A claim takes about as long as a commit. */
const claimConnections = 2;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("usage-record");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const claims = createDatabasePool({ url: config.databaseUrl, log, connections: claimConnections });
  const edgeSecrets = { proxy: config.proxySecret };
  return serve({
    name: "usage-record",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    nodeHandler: createHandler({ edgeSecrets, database, claims }).node,
    async onStop() {
      await Promise.all([database.close(), claims.close()]);
    },
  });
});
