/** Everything that export is configured by. */
import { z } from "zod";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import { objectStoreShape } from "#shared/object-store.ts";
import { Ed25519PrivateKey, PublicKey } from "#shared/signing-key.ts";

/** Keys. A key a year is ample; the set is read by each verifier. */
const otherKeysMax = 32;

export const configShape = {
  keyAuthUrl: setting("key_auth_url", z.url()),
  databaseUrl: databaseUrl("export"),
  keyAuthSecret: secret(edgeSecretName("export", "key-auth")),
  privateKey: secret("receipt-key", Ed25519PrivateKey),
  /** As published at /.well-known/epithre-receipt-keys.json. */
  otherKeys: setting("other_receipt_keys", jsonSetting(z.array(PublicKey).max(otherKeysMax))),
  ...objectStoreShape,
};
