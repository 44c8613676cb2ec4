/** Everything that usage-record is configured by. */
import { secret } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";

export const configShape = {
  databaseUrl: databaseUrl("usage-record"),
  proxySecret: secret(edgeSecretName("proxy", "usage-record")),
};
