/** Everything that notify is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";

export const configShape = {
  databaseUrl: databaseUrl("notify"),
  billingUrl: setting("billing_url", z.url()),
  billingSecret: secret(edgeSecretName("notify", "billing")),
  /** The relay, with its login where it asks for one. */
  smtpUrl: secret("smtp-url", z.url({ protocol: /^smtps?$/ })),
  accountsUrl: setting("accounts_url", z.url()),
  accountsSecret: secret(edgeSecretName("notify", "accounts")),
  /** Where links in mail lead. */
  dashboardUrl: setting("dashboard_url", z.url()),
  mailFrom: setting("mail_from", z.email()),
};
