/** Everything that billing is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";

export const configShape = {
  databaseUrl: databaseUrl("billing"),
  keyAuthUrl: setting("key_auth_url", z.url()),
  keyAuthSecret: secret(edgeSecretName("billing", "key-auth")),
  proxySecret: secret(edgeSecretName("proxy", "billing")),
  /** Milliseconds that a lease lives without being renewed: how long a killed proxy keeps its accounts' money. */
  leaseTtlMs: setting("lease_ttl_ms", z.coerce.number().int().min(100).max(600_000).default(20_000)),
};
