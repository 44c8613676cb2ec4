import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createLog } from "#shared/log.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. The schedule sends no body. */
const bodyBytesMax = 1_024;

run(async () => {
  const { databaseUrl: url, privateKey, port, hostname } = readConfig(configShape);
  const log = createLog("audit-seal");
  return serve({
    name: "audit-seal",
    port,
    hostname,
    log,
    bodyBytesMax,
    handler: createHandler({ open: () => connect({ url, connections: 1 }), signer: createReceiptSigner(privateKey), log }),
  });
});
