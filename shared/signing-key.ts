/** Ed25519 keys in secrets and settings. */
import { createPrivateKey } from "node:crypto";
import { z } from "zod";
import { receiptKey } from "./receipts.ts";

/** The private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it. */
export const Ed25519PrivateKey = z.string().transform((pem, context) => {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // It is no key at all.
  }
  context.addIssue({ code: "custom", message: "is not an Ed25519 private key in PEM; make one by `npm run receipt-key`" });
  return z.NEVER;
});

/** A public key as JWK. What only follows from `x` is not read. */
export const PublicKey = z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string() }).transform(({ x }, context) => {
  try {
    return receiptKey(x);
  } catch {
    context.addIssue({ code: "custom", message: "has a key whose x is not 32 bytes in base64url" });
    return z.NEVER;
  }
});
