/**
 * Who may call whom. Internal authentication reads this table: an edge that is not here has no secret, so the
 * call cannot be signed, and a function accepts only signatures of its own incoming edges.
 */
export const flow = [
  { from: "proxy", to: "key-auth", for: "verdicts about keys, the feed of their changes, slices of their limits" },
  { from: "proxy", to: "billing", for: "leases, the price book, the caller's own balance" },
  { from: "proxy", to: "usage-record", for: "settlements, claims of Idempotency-Keys" },
  { from: "billing", to: "key-auth", for: "the verdict about the key that asks for its account's money" },
  { from: "notify", to: "billing", for: "documents that go out with a mail" },
  { from: "export", to: "key-auth", for: "the verdict about the key that asks for its usage" },
  { from: "accounts", to: "key-auth", for: "whose session it is that asks" },
  { from: "notify", to: "accounts", for: "the token that a mail brings, made as it is sent" },
] as const;

export type FunctionName =
  | "proxy"
  | "key-auth"
  | "usage-record"
  | "billing"
  | "export"
  | "accounts"
  | "purge"
  | "admin"
  | "notify"
  | "reconcile"
  | "audit-seal"
  | "policy"
  | "dashboard";

export type Edge = (typeof flow)[number];

/**
 * What policy asks `/_/ready` of for the status page, and of the proxy `/_/metrics` for the state of its engines. No secret:
 * the answers say nothing that the page does not tell everybody.
 */
export const watched = [
  "proxy", "key-auth", "usage-record", "billing", "accounts", "export", "dashboard", "notify", "purge", "reconcile", "audit-seal", "admin",
] as const satisfies FunctionName[];

export type Watched = (typeof watched)[number];

/** The name of the secret that both ends of an edge mount: `edge-proxy-billing`. */
export function edgeSecretName(from: FunctionName, to: FunctionName): string {
  return `edge-${from}-${to}`;
}
