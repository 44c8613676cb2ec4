/**
 * What Epithre promises (privacy policy v1.0, 2026-05-11), as data. Purge, the tests, the evidence and the published
 * page read these rows; where the data lies is in stored-data.ts. A promise without a test that names it fails the tests.
 */

/** What a key may be allowed to do. */
export const scopes = ["chat", "embeddings", "images", "models", "usage", "billing"] as const;
export type Scope = (typeof scopes)[number];

/** What a usage event may name as its endpoint: a closed list, so that no path a caller made up is stored. */
export const endpoints = ["chat.completions", "completions", "embeddings", "images.generations", "images.edits", "images.variations"] as const;

/** What a model does; it decides which endpoints take it and which price lines count. */
export const modelKinds = ["chat", "embedding", "image"] as const;

/** The qualities of images that can be asked for and priced. */
export const imageQualities = ["low", "medium", "high", "standard", "hd"] as const;

/**
 * How a promise is shown to be kept: by evidence measured while running, by configuration that enforces it, or, for
 * what software cannot see, by a statement of an operator's role that expires.
 */
export type Proof =
  | { kind: "measured"; what: string }
  | { kind: "configured"; enforcedBy: string }
  | { kind: "attested"; role: string; validDays: number };

/** At most this much, or at least; a time counts from what `since` names. */
export interface Limit {
  amount: number;
  unit: "bytes" | "hours" | "days" | "years" | "cookies" | "TLS version";
  since?: string;
  atLeast?: true;
}

/** The version in force, and since when. */
export const policyVersion = { version: "1.0", date: "2026-05-11" } as const;

export interface PolicyRow {
  id: string;
  promise: string;
  limit?: Limit;
  proof: Proof;
}

const measured = (what: string): Proof => ({ kind: "measured", what });
const configured = (enforcedBy: string): Proof => ({ kind: "configured", enforcedBy });
/** A statement about where machines stand or who is paid is made again every quarter. */
const attested = (role: string): Proof => ({ kind: "attested", role, validDays: 92 });

export const policy = [
  {
    id: "content.none",
    promise: "Nothing of what you send or get back is logged or stored: no prompt, text, embedding, image, tool call, schema or hash of them.",
    limit: { amount: 0, unit: "bytes" },
    proof: configured("the proxy cannot write files and has no database login; log lines are rebuilt from a closed schema"),
  },
  {
    id: "content.images",
    promise: "Images sent to be edited are held in memory, passed to the inference engine and dropped when the answer is out.",
    limit: { amount: 0, unit: "bytes" },
    proof: configured("the proxy holds bodies under a memory budget and has no right to write files"),
  },
  {
    id: "keep.closed",
    promise: "Nothing about a person is stored beyond the categories below. A new category is announced before it begins.",
    proof: measured("every column of the database is in exactly one category"),
  },
  {
    id: "keep.*",
    promise: "Limits count the database's log and its backups: live data goes as many days earlier as backups are kept, and two more.",
    proof: measured("the configured backup window, and the live limits it leaves"),
  },
  {
    id: "keep.account",
    promise: "Account data (e-mail, password hash, name if given) is kept for the life of the account, and erased after it is closed.",
    limit: { amount: 30, unit: "days", since: "the account is closed" },
    proof: measured("the longest that a closed account has waited"),
  },
  {
    id: "keep.key",
    promise: "Of an API key its SHA-256, its first 12 characters, its name and its scopes are kept with the account; a revoked key goes.",
    limit: { amount: 90, unit: "days", since: "the key is revoked" },
    proof: measured("the oldest revoked key"),
  },
  {
    id: "keep.usage",
    promise: "Of each call its time, model, endpoint, token counts, cost, latency and HTTP status are kept, with ids, and nothing else.",
    limit: { amount: 90, unit: "days", since: "the call" },
    proof: measured("the oldest usage event"),
  },
  {
    id: "keep.billing",
    promise: "Billing events (top-ups, refunds, signup credits, adjustments) are kept for the books.",
    limit: { amount: 7, unit: "years", since: "the event" },
    proof: measured("the oldest billing event"),
  },
  {
    id: "keep.audit",
    promise: "The audit log holds actions of operators, keys made and revoked, and suspensions.",
    limit: { amount: 365, unit: "days", since: "the action" },
    proof: measured("the oldest row of the audit log"),
  },
  {
    id: "keep.session",
    promise: "A session is a token in the browser's local storage, the only item there.",
    limit: { amount: 24, unit: "hours", since: "login" },
    proof: configured("the expiry that is signed into the token"),
  },
  {
    id: "track.none",
    promise: "No cookie, fingerprint, analytics, third-party tracker, advertising id or social plugin.",
    limit: { amount: 0, unit: "cookies" },
    proof: configured("the page's content security policy allows its own origin only; no answer sets a cookie"),
  },
  {
    id: "use.account",
    promise: "Account data serves to know the person, to write about the account, and to prevent abuse.",
    proof: configured("database roles: accounts, admin, billing (on documents) and notify alone reach the address"),
  },
  {
    id: "use.usage",
    promise: "Usage data serves correct billing, and finding and answering abuse.",
    proof: configured("database roles: usage-record writes it, export hands it to its owner, admin counts what looks like abuse"),
  },
  {
    id: "use.audit",
    promise: "The audit log serves to find unauthorized access, and compliance audits.",
    proof: configured("database roles: it is appended to with each action, and changed by nobody"),
  },
  {
    id: "path.selfhosted",
    promise: "Inference runs on our own machines; no other AI provider sees a request.",
    proof: configured("engines are reached at private addresses only"),
  },
  {
    id: "path.lan",
    promise: "Engines, database and storage are reachable from the private network only; the ingress alone is public.",
    proof: configured("network policies"),
  },
  {
    id: "place.jakarta",
    promise: "Every server, the mail relay and the mailbox stand in Jakarta; data leaves Indonesia only as mail to an address you chose.",
    proof: attested("operator of the servers"),
  },
  {
    id: "pay.alpha",
    promise: "Invoices come by e-mail and are paid by bank transfer or as agreed; no payment processor sees them unless you choose one.",
    proof: attested("operator of billing"),
  },
  {
    id: "right.*",
    promise: "Each right works by yourself, and by mail to hello@epithre.com for whoever cannot log in.",
    proof: attested("operator of support"),
  },
  {
    id: "right.access",
    promise: "A copy of your account data, with the trail of its processing. The law gives us three days; we give it at once.",
    limit: { amount: 0, unit: "hours", since: "you ask" },
    proof: measured("the function that serves it answers"),
  },
  {
    id: "right.delete",
    promise: "Your account and all that is linked to it is erased, backups included; billing events alone are kept.",
    limit: { amount: 30, unit: "days", since: "the account is closed" },
    proof: measured("accounts that are due for erasure, and for how long"),
  },
  {
    id: "right.correct",
    promise: "You correct your e-mail or name yourself.",
    limit: { amount: 0, unit: "hours", since: "you ask" },
    proof: measured("the function that serves it answers"),
  },
  {
    id: "right.export",
    promise: "You download your usage log as CSV yourself.",
    limit: { amount: 0, unit: "hours", since: "you ask" },
    proof: measured("the function that serves it answers"),
  },
  {
    id: "sec.tls",
    promise: "API and dashboard are served over TLS 1.2 or newer.",
    limit: { amount: 1.2, unit: "TLS version", atLeast: true },
    proof: measured("handshakes with the public addresses"),
  },
  {
    id: "sec.password",
    promise: "Passwords are kept as Argon2id hashes.",
    proof: configured("the form that the database accepts"),
  },
  {
    id: "sec.key",
    promise: "API keys are kept as SHA-256; nobody can recover the key itself.",
    proof: configured("the form that the database accepts: 32 bytes"),
  },
  {
    id: "sec.disclosure",
    promise: 'Vulnerabilities are reported to hello@epithre.com, subject "Security disclosure" (/.well-known/security.txt).',
    proof: configured("the policy function serves security.txt"),
  },
  {
    id: "change.notice",
    promise: "Every user is told by e-mail before a material change of this policy takes effect.",
    limit: { amount: 14, unit: "days", since: "the mail", atLeast: true },
    proof: measured("the days between the last mail and the change"),
  },
] as const satisfies readonly PolicyRow[];

export type PromiseId = (typeof policy)[number]["id"];

/** The row with this id. */
export function promised(id: PromiseId): PolicyRow {
  return policy.find((row) => row.id === id)!;
}
