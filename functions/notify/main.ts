import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { connect } from "#shared/db.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { createMailer } from "#shared/mail.ts";
import { createAttachments } from "./attachments.ts";
import { configShape } from "./config.ts";
import { createHandler } from "./handler.ts";
import { createLinks } from "./links.ts";

/** Bytes. The schedule sends no body. */
const bodyBytesMax = 1_024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("notify");
  const accounts = createInternalClient({ from: "notify", to: "accounts", url: config.accountsUrl, edgeSecret: config.accountsSecret });
  const linkOf = createLinks(accounts, config.dashboardUrl);
  const mailer = createMailer({ smtpUrl: config.smtpUrl, from: config.mailFrom });
  const billing = createInternalClient({ from: "notify", to: "billing", url: config.billingUrl, edgeSecret: config.billingSecret });
  const open = () => connect({ url: config.databaseUrl, connections: 1 });
  return serve({
    name: "notify",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler({ open, mailer, attachmentsOf: createAttachments(billing), linkOf, log }),
    async onStop() {
      mailer.close();
      await Promise.all([billing.close(), accounts.close()]);
    },
  });
});
