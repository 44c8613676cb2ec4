/** Everything that accounts is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import { Ed25519PrivateKey } from "#shared/signing-key.ts";
import { signupCreditMoments } from "../admin/schema.ts";

export const configShape = {
  databaseUrl: databaseUrl("accounts"),
  keyAuthUrl: setting("key_auth_url", z.url()),
  keyAuthSecret: secret(edgeSecretName("accounts", "key-auth")),
  notifySecret: secret(edgeSecretName("notify", "accounts")),
  /** Signs sessions; key-auth has its public half (setting session_keys). */
  sessionKey: secret("session-key", Ed25519PrivateKey),
  /**
   * The header in which the ingress says the caller's address, such as x-real-ip. It must be one that the ingress always
   * sets itself: anyone can send one. Empty: none is believed, and nothing is throttled by address.
   */
  clientAddressHeader: setting("client_address_header", z.string().regex(/^[a-z0-9-]*$/, "must be a header's name in lower case").default("")),
  signupCreditRupiah: setting("signup_credit_rupiah", z.coerce.number().int().min(1).max(1_000_000_000).default(25_000)),
  /** After what an account gets it; here only `verified_email` counts, the others are admin's. */
  signupCreditAfter: setting("signup_credit_after", z.enum(signupCreditMoments).default("never")),
};
