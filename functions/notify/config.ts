/** Everything that notify is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";

export const configShape = {
  databaseUrl: databaseUrl("notify"),
  /** The relay, with its login where it asks for one. */
  smtpUrl: secret("smtp-url", z.url({ protocol: /^smtps?$/ })),
  mailFrom: setting("mail_from", z.email()),
};
