/** A secret that signs. */
import { createPrivateKey } from "node:crypto";
import { z } from "zod";

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
