/** Addresses that are published. */
export const evidencePath = "/policy/evidence.json";
/** The public keys of the evidence, as a JWK Set. */
export const keysPath = "/.well-known/epithre-evidence-keys.json";
