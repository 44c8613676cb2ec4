/** Everything that key-auth is configured by. */
import { z } from "zod";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import { PublicKey } from "#shared/signing-key.ts";

/** Keys: the former, the present and the next one, and room for a change in a hurry. */
const sessionKeysMax = 8;

export const configShape = {
  databaseUrl: databaseUrl("key-auth"),
  proxySecret: secret(edgeSecretName("proxy", "key-auth")),
  billingSecret: secret(edgeSecretName("billing", "key-auth")),
  exportSecret: secret(edgeSecretName("export", "key-auth")),
  accountsSecret: secret(edgeSecretName("accounts", "key-auth")),
  /** Of sessions: the key that accounts signs with, the former one for a day, and the next one. */
  sessionKeys: setting("session_keys", jsonSetting(z.array(PublicKey).max(sessionKeysMax))),
};
