/** Everything that export is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";

export const configShape = {
  keyAuthUrl: setting("key_auth_url", z.url()),
  databaseUrl: databaseUrl("export"),
  keyAuthSecret: secret(edgeSecretName("export", "key-auth")),
};
