import { run, serve } from "openfaas-node";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createLog } from "#shared/log.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { createAsk } from "./ask.ts";
import { configShape } from "./config.ts";
import { createEvidence } from "./evidence.ts";
import { createHandler } from "./handler.ts";
import { createMetrics } from "./metrics.ts";
import { createStatus } from "./status.ts";

/** Bytes. Nobody needs to send the policy a body. */
const bodyBytesMax = 1_024;

/** One measures, one looks whether the database answers. */
const connections = 2;

run(async () => {
  const { databaseUrl: url, evidenceKey, backupWindowDays, publicUrl, release, functionUrls, port, hostname } = readConfig(configShape);
  const log = createLog("policy");
  const clock = systemClock;
  const database = createDatabasePool({ url, log, connections });
  const signer = createReceiptSigner(evidenceKey);
  const asking = createAsk();
  const status = createStatus({ functionUrls, database, ask: asking.ask, clock });
  const evidence = createEvidence({ database, status, signer, clock, backupWindowDays, release });
  return serve({
    name: "policy",
    port,
    hostname,
    log,
    bodyBytesMax,
    handler: createHandler({ evidence, status, key: signer.key, publicUrl, backupWindowDays, clock }),
    metrics: createMetrics(evidence),
    async onStop() {
      await Promise.all([asking.close(), database.close()]);
    },
  });
});
