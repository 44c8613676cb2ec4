import { run, serve } from "openfaas-node";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createLog } from "#shared/log.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. The schedule sends no body. */
const bodyBytesMax = 1024;

/** Milliseconds for one bounded step; other functions answer callers, purge only has to come to an end. */
const statementTimeoutMs = 15_000;

run(async () => {
  const { databaseUrl: url, backupWindowDays, port, hostname } = readConfig(configShape);
  const log = createLog("purge");
  return serve({
    name: "purge",
    port,
    hostname,
    log,
    bodyBytesMax,
    handler: createHandler({
      open: () => connect({ url, connections: 1, statementTimeoutMs }),
      backupWindowDays,
      clock: systemClock,
      log,
    }),
  });
});
