import { run, serve } from "openfaas-node";
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { configShape, invoiceSettings } from "./config.ts";
import { createHandler } from "./handler.ts";
import { createBillingPages } from "./public.ts";
import { VerdictsAnswer } from "../key-auth/schema.ts";

/** Bytes. 256 grants with 64 needs each, or 1,000 reports. */
const bodyBytesMax = 1024 * 1024;

/** Each statement takes one at a time. */
const statementConnections = 2;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("billing");
  const databases = {
    database: createDatabasePool({ url: config.databaseUrl, log }),
    statementDatabase: createDatabasePool({ url: config.databaseUrl, log, connections: statementConnections }),
  };
  const keyAuth = createInternalClient({ from: "billing", to: "key-auth", url: config.keyAuthUrl, edgeSecret: config.keyAuthSecret });
  const accountOf = createAccountOf({ keyAuth, answer: VerdictsAnswer, scope: "billing", task: "use billing" });
  const edgeSecrets = { proxy: config.proxySecret, notify: config.notifySecret };
  const invoices = invoiceSettings(config);
  return serve({
    name: "billing",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handlerPath: "/v1/",
    handler: createBillingPages({ ...databases, accountOf, clock: systemClock, invoices }),
    nodeHandler: createHandler({ ...databases, edgeSecrets, clock: systemClock, leaseTtlMs: config.leaseTtlMs, invoices }).node,
    async onStop() {
      await Promise.all([...Object.values(databases).map((each) => each.close()), keyAuth.close()]);
    },
  });
});
