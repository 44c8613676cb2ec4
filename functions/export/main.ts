import { run, serve } from "openfaas-node";
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { VerdictsAnswer } from "../key-auth/schema.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. A request for usage has no body; this much may be sent in vain. */
const bodyBytesMax = 1024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("export");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const keyAuth = createInternalClient({ from: "export", to: "key-auth", url: config.keyAuthUrl, edgeSecret: config.keyAuthSecret });
  return serve({
    name: "export",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler({
      accountOf: createAccountOf({ keyAuth, answer: VerdictsAnswer, scope: "usage", task: "export usage" }),
      database,
      signer: createReceiptSigner(config.privateKey),
      otherKeys: config.otherKeys,
      clock: systemClock,
    }),
    async onStop() {
      await Promise.all([database.close(), keyAuth.close()]);
    },
  });
});
