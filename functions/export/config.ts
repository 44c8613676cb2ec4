/** Everything that export is configured by. */
import { z } from "zod";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import { objectStoreShape } from "#shared/object-store.ts";
import { receiptKey } from "#shared/receipts.ts";
import { Ed25519PrivateKey } from "#shared/signing-key.ts";

/** As published at /.well-known/epithre-receipt-keys.json. What only follows from `x` is not read. */
const PublicKey = z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string() }).transform(({ x }, context) => {
  try {
    return receiptKey(x);
  } catch {
    context.addIssue({ code: "custom", message: "has a key whose x is not 32 bytes in base64url" });
    return z.NEVER;
  }
});

/** Keys. A key a year is ample; the set is read by each verifier. */
const otherKeysMax = 32;

export const configShape = {
  keyAuthUrl: setting("key_auth_url", z.url()),
  databaseUrl: databaseUrl("export"),
  keyAuthSecret: secret(edgeSecretName("export", "key-auth")),
  privateKey: secret("receipt-key", Ed25519PrivateKey),
  otherKeys: setting("other_receipt_keys", jsonSetting(z.array(PublicKey).max(otherKeysMax))),
  ...objectStoreShape,
};
