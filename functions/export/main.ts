import { run, serve } from "openfaas-node";
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createObjectStore, createS3Client } from "#shared/object-store.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { VerdictsAnswer } from "../key-auth/schema.ts";
import { configShape } from "./config.ts";
import { createFileBuild } from "./file-build.ts";
import { createHandler } from "./handler.ts";
import { statementTimeoutMs } from "./queries.ts";

/** Bytes. What a request for a file says is the longest body. */
const bodyBytesMax = 1024;

/** Of the bucket: what else is in it is none of export's business. */
const storeFolder = "usage-exports/";

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("export");
  const database = createDatabasePool({ url: config.databaseUrl, log, statementTimeoutMs });
  const keyAuth = createInternalClient({ from: "export", to: "key-auth", url: config.keyAuthUrl, edgeSecret: config.keyAuthSecret });
  const s3 = createS3Client({ url: config.objectStoreUrl, region: config.objectStoreRegion, login: config.objectStoreLogin });
  const store = createObjectStore(s3, config.objectStoreBucket, storeFolder);
  const open = () => connect({ url: config.databaseUrl, connections: 1 });
  return serve({
    name: "export",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler({
      accountOf: createAccountOf({ keyAuth, answer: VerdictsAnswer, scope: "usage", task: "export usage" }),
      database,
      store,
      build: createFileBuild({ open, database, store, clock: systemClock, log }),
      signer: createReceiptSigner(config.privateKey),
      otherKeys: config.otherKeys,
      clock: systemClock,
    }),
    async onStop() {
      store.close();
      await Promise.all([database.close(), keyAuth.close()]);
    },
  });
});
