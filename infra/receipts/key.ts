/** The keys that receipts, sessions and days of the audit log are signed with. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { createReceiptSigner, type ReceiptKey } from "#shared/receipts.ts";

/** A new private key in PEM (PKCS #8): what the secrets receipt-key, audit-key and session-key hold. */
export function makeReceiptKey(): string {
  return generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** The public key to a private one. */
export function publicKeyOf(pem: string): ReceiptKey {
  return createReceiptSigner(createPrivateKey(pem)).key;
}
