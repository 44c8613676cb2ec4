import type { Finding, FindingCode } from "./findings.ts";
import type { Words } from "./words.ts";

type Say = Parameters<Words["finding"]>[1];

const findings: Record<FindingCode, (finding: Required<Finding>, say: Say) => string> = {
  evidence_missing: () => "Nothing could be measured yet: the database has not answered. Whether the promise holds is not known.",
  evidence_old: ({ hours }, { span }) => `Measured ${span(hours)} ago, which is too long to count. What has happened since is not known.`,
  not_measured: () => "No measurement of it exists here yet. The promise stands; proof of it is owed.",
  past_limit: ({ store, hours }, say) => `${say.store(store)}: the oldest is ${say.span(hours)} past its limit. Data is kept for longer than promised.`,
  store_unseen: ({ store }, say) => `${say.store(store)}: nothing counts it, so nobody can say how old it is.`,
  purge_never: () => "The deletion run has not come to its end yet. Nothing has been deleted by schedule so far.",
  purge_gap: ({ hours }, { span }) => `The deletion run was last seen ${span(hours)} ago. It stops by itself after 48 hours, until an operator has looked; until then nothing is deleted.`,
  purge_refused: () => "The deletion run has stopped itself after a gap of more than 48 hours, and waits for an operator to look at the clock. Until then nothing is deleted.",
  purge_window: ({ days }) => `Deletion goes ${days} days early for backups, which is not what is published here. Copies in backups may outlive a limit.`,
  purge_limit: ({ store, days }, say) => `${say.store(store)}: the last deletion run went by ${days} days, which is not the policy's limit.`,
  purge_step: ({ store }, say) => `${say.store(store)}: the last deletion run did not look at it.`,
  erasure_late: ({ count, hours }, { span }) => `Closed accounts that wait for their erasure: ${count}. The first came due ${span(hours)} ago, and will be erased too late if nobody acts.`,
  audit_never: () => "The audit log has not been sealed yet. A change of it could not be shown.",
  audit_unsealed: ({ hours }, { span }) => `The audit log was last sealed ${span(hours)} ago. A change of what came later could not be shown.`,
  audit_changeable: ({ count }) => `Roles of the database that may change rows of the audit log: ${count}. None should.`,
  columns_unknown: ({ count }) => `Columns of the database that are in no category of the policy: ${count}.`,
  rule_missing: () => "The database does not check the form of it any more: what is stored may be something else.",
  canary_hits: ({ count }) => `The last scan found planted words ${count} times: content was stored where none may be.`,
  canary_blind: () => "The last scan did not find its own controls everywhere, so that it found nothing proves nothing.",
  canary_old: ({ hours }, { span }) => `The last scan for planted words was ${span(hours)} ago, which is too long to count.`,
  function_silent: () => "The function that serves it does not answer right now.",
  attestation_missing: () => "No operator has stated it. Software cannot see it, so it is not shown until somebody does.",
  attestation_expired: ({ hours }, { span }) => `The statement of an operator ended ${span(hours)} ago and was not renewed.`,
  attestation_other: () => "The statement of an operator was about an earlier wording of this promise.",
};

export const english: Words = {
  title: "What Epithre promises, and whether it holds",
  description: "The privacy policy of Epithre as data: each promise, how it is kept, and evidence measured now.",
  skip: "Skip to the page",
  languageLabel: "Language",
  nav: { policy: "Policy", status: "Status", dashboard: "Dashboard" },
  hero: {
    allKept: "Every promise is kept, and shown to be.",
    someRed: (red) => (red === 1 ? "One promise is not kept, or not shown to be." : `${red} promises are not kept, or not shown to be.`),
    lede: "The table that deletes data, the tests and this page read the same promises. What is green was measured just now, is enforced by configuration, or was stated by an operator not long ago. All else is red, and says why.",
    measured: (ago) => `Measured ${ago}`,
    never: "Not measured yet",
  },
  states: { kept: "Kept", unproven: "Not shown", broken: "Not kept" },
  kinds: { measured: "Measured", configured: "Enforced by configuration", attested: "Stated by an operator" },
  kindNotes: {
    measured: "by this function itself, which can only read: what deletes data can neither write nor replace what is shown here",
    configured: "what enforces it stands beside it, and tests show that it does",
    attested: "what software cannot see, such as where a machine stands; it expires",
  },
  groups: {
    content: "What you send and get back", keep: "What is kept, until when", track: "Tracking", use: "What data is used for", path: "The way of a request",
    place: "Where it all stands", pay: "Payment", right: "Your rights", sec: "Security", change: "Changes of this policy",
  },
  finding: (finding, say) => findings[finding.code](finding as Required<Finding>, say),
  stores: {
    usage_events: "Usage events", api_keys: "Revoked API keys", audit_log: "Audit log", outbox: "Mail that waits", billing_events: "Billing events",
    invoices: "Unpaid invoices, since due", idempotency_claims: "Idempotency keys", account_tokens: "Tokens of mails, since expiry", persons: "New addresses that nobody confirmed",
    operators: "Disabled operators", operator_sessions: "Sessions of operators, since expiry", operator_invites: "Invites of operators, since expiry", throttles: "Throttles, since they ended", usage_exports: "Usage logs as files",
    purge_runs: "Records of deletion runs", accounts: "Closed accounts",
  },
  live: {
    title: "Right now",
    purge: "Last deletion run", purgeNone: "none yet", purgeNote: "It comes every hour, and stops itself when 48 hours have passed without it.",
    erasures: "Erasures that are due", erasuresNone: "none", erasuresOldest: (span) => `the first for ${span}`, erasuresNote: (days) => `An account is erased ${days} days after it was closed; backups follow within the 30 days that are promised.`,
    canary: "Last scan for planted words", canaryNone: "none yet", canaryNote: "Requests with random words are sent through the public API, then every store is searched for them.",
    canaryHits: (hits) => (hits === 0 ? "found nothing" : `found ${hits}`),
    canaryDetail: (bytes, searched, controls, not) => `${bytes} in ${searched} stores, controls found in ${controls} of them; ${not} stores cannot be searched.`,
    audit: "Audit log", auditNone: "not sealed yet", auditRows: (rows) => `${rows} rows today`,
    versions: "Running", policyVersion: "Policy", release: "Release", migration: "Schema",
    backups: "Backups", backupsNone: "none", backupsWindow: (days) => `${days} days`, backupsNote: (early) => (early === 0 ? "Nothing outlives its row in a backup." : `Live data goes ${early} days before its limit, so that it is gone from every backup in time.`),
  },
  retention: {
    title: "The oldest of each kind", lede: "Counted in the database by a role that can only read, against the limit that data has there.",
    store: "Data", oldest: "Oldest", live: "Limit here", promised: "Promised", margin: "Time left", none: "none",
    ofBackups: (span) => `${span} less, for backups`, past: (span) => `${span} too old`,
  },
  promises: { title: "The promises", lede: "Each has a test that names it.", limit: "Limit", tests: (id) => `tests: search test/ for “${id}”` },
  statements: { title: "Statements of operators", lede: "Of what software cannot see. Who stated it is in the audit log; here is in which role.", role: "Role", stated: "Stated", expires: "Ends", none: "not stated" },
  versions: { title: "Versions", inForce: (version, date) => `Version ${version} is in force since ${date}.` },
  verify: {
    title: "Check it yourself", lede: "The evidence is signed. Keep a copy, and verify it offline with nothing but this repository and Node:",
    evidence: "Evidence, signed", keys: "Public keys", data: "The policy as data", status: "Status", disclosure: "Report a vulnerability",
  },
  rights: { title: "For whoever cannot log in", text: "Access, correction and deletion work by mail as well:" },
  footer: "This page sets no cookie, runs no script and loads nothing from anywhere.",
  status: {
    title: "Status", description: "What of Epithre works right now.", up: "Everything works.", degraded: "Something does not work.",
    lede: "As it is now, without a history. Nothing here is about anybody.", checked: (time) => `Looked at ${time}`, functions: "Functions",
    engines: "Inference engines", enginesNote: "that take calls, as the last ones found them", enginesUnknown: "not known", enginesUp: (up, all) => `${up} of ${all}`, database: "Database",
    states: { up: "works", away: "does not answer" },
    purposes: {
      proxy: "the API", "key-auth": "keys and limits", "usage-record": "charges", billing: "balances, prices, invoices", accounts: "signup, login, keys, your data", export: "usage logs",
      dashboard: "the web app", notify: "mail", purge: "deletion on schedule", reconcile: "charges beside the engines' counts", "audit-seal": "the seal of the audit log", admin: "operators",
    },
  },
};
