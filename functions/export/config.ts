/** Everything that export is configured by. */
import { createPrivateKey } from "node:crypto";
import { z } from "zod";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import { objectStoreShape } from "#shared/object-store.ts";
import { receiptKey } from "#shared/receipts.ts";

/** The private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it. */
const PrivateKey = z.string().transform((pem, context) => {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // It is no key at all.
  }
  context.addIssue({ code: "custom", message: "is not an Ed25519 private key in PEM; make one by `npm run receipt-key`" });
  return z.NEVER;
});

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
  privateKey: secret("receipt-key", PrivateKey),
  otherKeys: setting("other_receipt_keys", jsonSetting(z.array(PublicKey).max(otherKeysMax))),
  ...objectStoreShape,
};
