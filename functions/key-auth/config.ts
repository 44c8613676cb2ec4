/** Everything that key-auth is configured by. */
import { secret } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";

export const configShape = {
  databaseUrl: databaseUrl("key-auth"),
  proxySecret: secret(edgeSecretName("proxy", "key-auth")),
  billingSecret: secret(edgeSecretName("billing", "key-auth")),
  exportSecret: secret(edgeSecretName("export", "key-auth")),
};
