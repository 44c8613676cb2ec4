import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createMailer } from "#shared/mail.ts";
import { createAttachments } from "./attachments.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";

/** Bytes. The schedule sends no body. */
const bodyBytesMax = 1_024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("notify");
  const mailer = createMailer({ smtpUrl: config.smtpUrl, from: config.mailFrom });
  const billing = createInternalClient({ from: "notify", to: "billing", url: config.billingUrl, edgeSecret: config.billingSecret });
  const open = () => connect({ url: config.databaseUrl, connections: 1 });
  return serve({
    name: "notify",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler({ open, mailer, attachmentsOf: createAttachments(billing), log }),
    async onStop() {
      mailer.close();
      await billing.close();
    },
  });
});
