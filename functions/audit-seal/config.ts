/** Everything that audit-seal is configured by. */
import { secret } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { Ed25519PrivateKey } from "#shared/signing-key.ts";

export const configShape = {
  databaseUrl: databaseUrl("audit-seal"),
  privateKey: secret("audit-key", Ed25519PrivateKey),
};
