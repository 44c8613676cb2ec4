/**
 * Where data about a person lies, in which category of the policy, and how it goes. Purge acts on these rows, the
 * tests compare them with the catalogue of the database, and the evidence shows the limits that are derived here.
 */
import { type Limit, promised, type PromiseId } from "./policy.ts";

/** The kinds of data that there are, by the promise about each; `none` names no person and is linked to none. */
export type Category = Extract<PromiseId, "keep.account" | "keep.key" | "keep.usage" | "keep.billing" | "keep.audit"> | "none";

/** Every column of every table, in exactly one category (keep.closed). Slices and parts count as their table. */
export const columns: Record<string, Partial<Record<Category, readonly string[]>>> = {
  accounts: { "keep.account": ["id", "status", "closed_at", "audit_alias", "changed_xid", "sessions_from", "reopens_as"] },
  persons: { "keep.account": ["account_id", "email", "name", "password_hash", "email_verified_at", "new_email", "new_email_at"] },
  // What mail brings to prove that its reader is the account's owner.
  account_tokens: { "keep.account": ["hash", "account_id", "purpose", "expires_at"] },
  // Mail about the account that waits; it holds neither address nor text.
  outbox: { "keep.account": ["id", "account_id", "template", "object_id", "month", "model_id", "created_at", "attempts", "next_attempt_at"] },
  // A key's limits, models and expiry count as its scopes.
  api_keys: {
    "keep.key": [
      "id", "account_id", "hash", "prefix", "name", "scopes", "models", "expires_at", "requests_per_minute",
      "tokens_per_minute", "revoked_at", "changed_xid", "monthly_budget_micro",
    ],
  },
  usage_events: {
    "keep.usage": [
      "id", "account_id", "key_id", "model_id", "endpoint", "price_version", "prompt_tokens", "cached_tokens",
      "completion_tokens", "reasoning_tokens", "images", "cost_micro", "latency_ms", "status",
    ],
  },
  billing_events: { "keep.billing": ["id", "account_id", "kind", "amount_micro", "reason", "idempotency_key", "created_at"] },
  ledger_entries: { "keep.billing": ["event_id", "ledger_account", "account_id", "amount_micro"] },
  // What an account asked to pay, and whether it has.
  invoices: {
    "keep.billing": [
      "id", "account_id", "year", "number", "credit_micro", "ppn_basis_points", "ppn_micro", "issued_at", "due_at", "state",
      "paid_at", "billing_event_id", "idempotency_key",
    ],
  },
  // What the billing events come to, less what was used, in sums without dates.
  balances: { "keep.billing": ["account_id", "credited_micro", "consumed_micro", "leased_micro"] },
  balance_alerts: { "keep.billing": ["account_id", "threshold_micro", "armed"] },
  // What calls that run now may cost; a lease lives for seconds.
  leases: {
    "keep.usage": [
      "id", "account_id", "replica_id", "granted_micro", "consumed_micro", "expires_at", "recall_requested_at",
      "recall_answered_at", "key_id",
    ],
  },
  // What a key has spent of its budget in the running month, and of its limits in the last minute.
  key_budgets: { "keep.usage": ["key_id", "month", "spent_micro"] },
  key_rates: { "keep.usage": ["key_id", "unit", "second", "counts"] },
  // Ids and time of a call of the last day, and a digest of the name that its caller gave it (Idempotency-Key).
  idempotency_claims: {
    "keep.usage": [
      "account_id", "digest", "request_id", "key_id", "lease_id", "model_id", "endpoint", "price_version", "claimed_at",
      "runs_until",
    ],
  },
  // That an account is slowed down for an hour, and for which sign of abuse in its usage.
  throttles: { "keep.usage": ["account_id", "signal", "requests_per_minute", "began_at", "ends_at", "lifted"] },
  // What a usage log as a file was asked for, how far it is built, and its link as SHA-256. The file itself is in the object
  // store under the row's id; export deletes what is there without a row, so it ends with the row. The store has no backups.
  usage_exports: {
    "keep.usage": [
      "id", "account_id", "created_at", "state", "from_day", "to_day", "model_id", "key_id", "endpoint", "status_class", "turn_at",
      "restarts", "etags", "cursor_id", "records", "bytes", "first_id", "last_id", "subtrees", "link_hash", "link_ends_at",
    ],
  },
  audit_log: {
    "keep.audit": [
      "id", "at", "actor", "action", "operator_id", "subject_alias", "subject_salt", "subject_commitment", "object_id", "reason",
    ],
  },
  // Staff: who the log's operators are, and what proves it.
  operators: { "keep.audit": ["id", "name", "created_at", "disabled_at"] },
  operator_credentials: { "keep.audit": ["id", "operator_id", "public_key", "uses", "created_at"] },
  operator_sessions: { "keep.audit": ["digest", "operator_id", "expires_at"] },
  operator_invites: { "keep.audit": ["digest", "operator_id", "replaces", "expires_at"] },
  // Random words of some minutes, which name nobody.
  operator_challenges: { none: ["digest", "expires_at"] },
  // Signed heads of the log: hashes over salted commitments, which tell nothing of a row that has gone.
  audit_days: { none: ["day", "rows", "head", "sealed_until", "statement"] },
  audit_clock: { none: ["id", "read_until"] },
  models: {
    none: [
      "id", "name", "kind", "context_tokens", "output_tokens_max", "template_tokens", "image_tokens_max", "enabled",
      "created_at", "retirement_announced_at", "retires_at",
    ],
  },
  prices: {
    none: [
      "version", "model_id", "effective_at", "input_micro", "cached_input_micro", "output_micro", "image_micro", "line_of", "size",
      "quality",
    ],
  },
  daily_books: {
    none: [
      "day", "model_id", "requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "images",
      "cost_micro",
    ],
  },
  retirement_notices: { none: ["model_id", "before"] },
  engine_counters: { none: ["backend", "model_id", "read_at", "prompt_tokens", "completion_tokens"] },
  reconciliations: {
    none: [
      "read_at", "model_id", "since", "engines_missing", "engine_prompt_tokens", "engine_completion_tokens", "ledger_prompt_tokens",
      "ledger_completion_tokens",
    ],
  },
  invoice_numbers: { none: ["year", "last"] },
  operator_losses: { none: ["day", "model_id", "requests", "loss_micro"] },
  statement_runs: { none: ["month", "accounts_until"] },
  purge_runs: { none: ["id", "state", "early_days", "started_at", "finished_at", "steps_left", "confirmed_at", "confirmed_by"] },
  purge_steps: { none: ["run_id", "step", "live_days", "done"] },
  rewrites: { none: ["file", "node", "changed_xid", "tried_by", "tries"] },
  canary_scans: {
    none: ["id", "scanned_at", "bytes_searched", "stores_searched", "stores_not_searched", "hits", "controls_found"],
  },
  // That an operator stated it, not who: that is in the audit log.
  attestations: { none: ["id", "promise", "sentence_digest", "stated_at", "expires_at"] },
  // Views: times and counts for the public, of all accounts together.
  evidence_oldest: { none: ["store", "oldest_at"] },
  evidence_purge: { none: ["run_id", "finished_at", "early_days", "steps_left", "refused_since"] },
  evidence_purge_limits: { none: ["step", "live_days"] },
  evidence_audit_head: { none: ["day", "rows", "head", "sealed_until", "statement"] },
  evidence_migration: { none: ["name", "applied_at"] },
  evidence_canary: {
    none: ["scanned_at", "bytes_searched", "stores_searched", "stores_not_searched", "hits", "controls_found"],
  },
  evidence_attestations: { none: ["promise", "sentence_digest", "stated_at", "expires_at"] },
  migrations: { none: ["name", "digest", "applied_at"] },
};

/** Those that are about operators and no account. */
export const staffTables: readonly string[] = ["operators", "operator_credentials", "operator_sessions", "operator_invites"];

/** What keep.usage names, and the columns that hold each. The ids are all that a usage event has besides. */
export const usageFields = {
  promised: {
    time: ["id"],
    model: ["model_id"],
    endpoint: ["endpoint"],
    tokenCounts: ["prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "images"],
    cost: ["cost_micro", "price_version"],
    latency: ["latency_ms"],
    status: ["status"],
  },
  ids: ["account_id", "key_id"],
} as const;

/** The columns that a caller can fill with words of their own: the most characters of each. There are no others. */
export const freeText: Record<string, number> = { "persons.email": 254, "persons.new_email": 254, "persons.name": 128, "api_keys.name": 64 };

/** Columns of a text or binary type whose values are not a caller's words, and what bounds them. */
export const boundText: Record<string, string> = {
  "persons.password_hash": "made here from the password",
  "account_tokens.hash": "SHA-256",
  "api_keys.hash": "SHA-256",
  "api_keys.prefix": "the first characters of a key that was made here",
  "api_keys.scopes": "a closed list",
  "api_keys.models": "names of the price book",
  "idempotency_claims.digest": "HMAC-SHA-256 under a key of the day, which is held outside the database and destroyed",
  "usage_exports.etags": "what the object store calls the parts of a file, of one form",
  "usage_exports.subtrees": "SHA-256 of records of the usage log",
  "usage_exports.link_hash": "SHA-256",
  "models.name": "set by operators, of one form",
  "prices.size": "set by operators, of one form",
  "purge_runs.confirmed_by": "a closed list",
  "audit_log.subject_commitment": "SHA-256 of random bytes",
  "operators.name": "chosen by operators for each other, of one form",
  "operator_credentials.id": "made by an operator's authenticator",
  "operator_credentials.public_key": "made by an operator's authenticator",
  "operator_sessions.digest": "SHA-256",
  "operator_invites.digest": "SHA-256",
  "operator_challenges.digest": "SHA-256",
  "audit_days.head": "SHA-256",
  "audit_days.statement": "a signed statement of the other columns",
  "attestations.sentence_digest": "SHA-256 of a sentence of the policy",
  "evidence_attestations.sentence_digest": "SHA-256 of a sentence of the policy",
  "evidence_audit_head.head": "SHA-256",
  "evidence_audit_head.statement": "a signed statement of the other columns",
  "evidence_migration.name": "a file of the repository",
  "migrations.name": "a file of the repository",
  "migrations.digest": "SHA-256 of that file",
};

/**
 * How a table's rows end. `drop_slice`: whole slices of time are dropped; `delete`: rows whose `time` is past the
 * limit; `delete_days`: whole days (UTC) once their first moment is past it, because what is left must be verifiable;
 * `expire`: as `delete`, but no earlier because of backups: `inBackups` says what a copy there still tells; `erase`: the account with all that is linked to it; `life_of_account`: with that erasure. A table may have
 * two rows: what comes first ends the data. Where no person is named (`promise: null`) the limit is our own.
 */
export interface Retention {
  promise: PromiseId | null;
  table: string;
  time: string;
  how: "drop_slice" | "delete" | "delete_days" | "expire" | "erase" | "life_of_account";
  limit: Limit;
  /** What a copy in a backup still tells after the limit, and why that breaks no promise; only with `expire`. */
  inBackups?: string;
}

/** Hours that an Idempotency-Key counts. */
export const claimHours = 24;

/** Hours that a new address has to be confirmed. */
export const emailChangeHours = 24;

/** Days that somebody who signs up has to verify the address: it may be another's, and is closed and erased then. */
export const unverifiedDays = 7;

/** Days that an invoice which nobody paid is kept after it was due: for a transfer that comes late, and questions. */
const unpaidInvoiceDays = 90;

/** Hours that a usage log as a file lives, from when it was asked for. */
export const exportHours = 24;

/** Hours that purge acts before a limit: it runs every hour, and a run that fails must not make anything late. */
export const purgeLeadHours = 2;

function limitOf(id: PromiseId): Limit {
  const { limit } = promised(id);
  if (!limit) throw new RangeError(`Cannot derive a limit: ${id} has none`);
  return limit;
}

const lifeOfAccount = (promise: PromiseId, table: string) =>
  ({ promise, table, time: "accounts.closed_at", how: "life_of_account", limit: limitOf("right.delete") }) as const;

/** The next run of purge takes it. */
const expiredLogin = (table: string) =>
  ({
    promise: "keep.audit", table, time: "expires_at", how: "expire", limit: { amount: purgeLeadHours, unit: "hours", since: "it expired" },
    inBackups: "that an operator signed in or was invited, which the audit log says longer; the digest opens nothing any more",
  }) as const;

export const retention = [
  { promise: "keep.usage", table: "usage_events", time: "id", how: "drop_slice", limit: limitOf("keep.usage") },
  { promise: "keep.key", table: "api_keys", time: "revoked_at", how: "delete", limit: limitOf("keep.key") },
  { promise: "keep.audit", table: "audit_log", time: "at", how: "delete_days", limit: limitOf("keep.audit") },
  { promise: "keep.account", table: "outbox", time: "created_at", how: "delete", limit: limitOf("keep.account") },
  { promise: "keep.billing", table: "billing_events", time: "created_at", how: "delete", limit: limitOf("keep.billing") },
  // Unpaid ones; what is paid goes with its billing event.
  { promise: "keep.billing", table: "invoices", time: "due_at", how: "delete", limit: { amount: unpaidInvoiceDays, unit: "days", since: "it was due" } },
  {
    // Purge acts on the first run after the last moment that a claim counts.
    promise: "keep.usage", table: "idempotency_claims", time: "claimed_at", how: "expire",
    limit: { amount: claimHours + purgeLeadHours, unit: "hours", since: "the call" },
    inBackups: "ids and the time of a usage event, which keep.usage allows longer; the digest's key of the day is destroyed",
  },
  {
    promise: "keep.account", table: "account_tokens", time: "expires_at", how: "expire",
    limit: { amount: purgeLeadHours, unit: "hours", since: "it expires" },
    inBackups: "the SHA-256 of a token that counts no more, for days within the 30 of keep.account",
  },
  {
    promise: "keep.account", table: "persons", time: "new_email_at", how: "expire",
    limit: { amount: emailChangeHours + purgeLeadHours, unit: "hours", since: "the change was asked for" },
    inBackups: "an address that was the account's wish, for days within the 30 of keep.account",
  },
  { promise: "keep.audit", table: "operators", time: "disabled_at", how: "delete", limit: limitOf("keep.audit") },
  expiredLogin("operator_sessions"),
  expiredLogin("operator_invites"),
  {
    // Export itself ends them on time, with their files; what purge finds has been forgotten.
    promise: "keep.usage", table: "usage_exports", time: "created_at", how: "expire",
    limit: { amount: exportHours + purgeLeadHours, unit: "hours", since: "you ask for the file" },
    inBackups: "ids, days and sums of usage events, which keep.usage allows longer; the file itself is in no backup",
  },
  {
    // Admin itself forgets them when it looks for the next ones.
    promise: "keep.usage", table: "throttles", time: "ends_at", how: "expire",
    limit: { amount: purgeLeadHours, unit: "hours", since: "it ends" },
    inBackups: "that an account was slowed down, which its usage events tell, and keep.usage allows those longer",
  },
  { promise: null, table: "purge_runs", time: "started_at", how: "delete", limit: { amount: 365, unit: "days" } },
  { promise: "keep.account", table: "accounts", time: "closed_at", how: "erase", limit: limitOf("keep.account") },
  lifeOfAccount("keep.account", "persons"),
  lifeOfAccount("keep.account", "outbox"),
  lifeOfAccount("keep.account", "account_tokens"),
  lifeOfAccount("keep.key", "api_keys"),
  lifeOfAccount("keep.usage", "usage_events"),
  lifeOfAccount("keep.billing", "balances"),
  lifeOfAccount("keep.billing", "balance_alerts"),
  lifeOfAccount("keep.billing", "invoices"),
  lifeOfAccount("keep.usage", "leases"),
  // With their key; purge forgets them long before.
  lifeOfAccount("keep.usage", "key_budgets"),
  lifeOfAccount("keep.usage", "key_rates"),
  lifeOfAccount("keep.usage", "idempotency_claims"),
  lifeOfAccount("keep.usage", "usage_exports"),
  lifeOfAccount("keep.usage", "throttles"),
] as const satisfies readonly Retention[];

/** Days that the oldest backup goes back; `null` where there are none. */
export type BackupWindowDays = number | null;

/** Days that a row stays in backups beyond their window: they are daily, and the one before the window is kept too. */
const backupExtraDays = 2;

/** Days from the closing of an account to its erasure: a closing by mistake is undone, credit is paid back. */
export const erasureGraceDays = 7;

/** Grace, backups and one day for failures must fit into the 30 days of an erasure (right.delete). */
export const backupWindowDaysMax = limitDays(limitOf("right.delete")) - erasureGraceDays - backupExtraDays - 1;

/** Days that live data goes before its promised limit, to be gone from every backup in time (keep.*). */
export function earlyDays(window: BackupWindowDays): number {
  return window === null ? 0 : window + backupExtraDays;
}

/** A limit in days. A year counts as 365: never later than the calendar's. */
export function limitDays({ amount, unit }: Limit): number {
  if (unit === "days") return amount;
  if (unit === "years") return amount * 365;
  throw new RangeError(`Cannot count a limit in days: its unit is ${unit}`);
}

/** A limit in hours, for those shorter than days can say. */
export function limitHours(limit: Limit): number {
  return limit.unit === "hours" ? limit.amount : limitDays(limit) * 24;
}

/** Days that live data may be kept, so that it is gone everywhere within the promised limit (keep.*). */
export function liveLimitDays(limit: Limit, window: BackupWindowDays): number {
  return limitDays(limit) - earlyDays(window);
}
