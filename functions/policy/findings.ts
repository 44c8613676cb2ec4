/** What stands between a promise and green: closed codes with numbers, which each language has words for. */

/** `broken`: what was measured is against the promise; the others say that it is not shown. Both are red. */
const severities = {
  /** Nothing has been measured since this process began. */
  evidence_missing: "unproven",
  /** `hours` since it was measured. */
  evidence_old: "unproven",
  /** No measurement of this promise exists yet. */
  not_measured: "unproven",
  /** The oldest row of `store` is `hours` past its limit. */
  past_limit: "broken",
  /** Nothing counts the rows of `store`. */
  store_unseen: "unproven",
  purge_never: "unproven",
  /** `hours` since purge came to its end. */
  purge_gap: "unproven",
  purge_refused: "unproven",
  /** Purge goes `days` earlier for backups, not as many as published. */
  purge_window: "broken",
  /** Purge applied a limit of `days` to `store`, which is not the policy's. */
  purge_limit: "broken",
  /** The last run did not look at `store`. */
  purge_step: "broken",
  /** `count` accounts, the first due for `hours`. */
  erasure_late: "broken",
  audit_never: "unproven",
  /** `hours` since the log was sealed. */
  audit_unsealed: "unproven",
  /** `count` roles may change rows of the log. */
  audit_changeable: "broken",
  /** `count` columns that no category of the policy has. */
  columns_unknown: "broken",
  rule_missing: "broken",
  canary_hits: "broken",
  canary_blind: "unproven",
  canary_old: "unproven",
  /** The function that serves it did not answer. */
  function_silent: "broken",
  attestation_missing: "unproven",
  attestation_expired: "unproven",
  /** It was made about another sentence. */
  attestation_other: "unproven",
} as const satisfies Record<string, "broken" | "unproven">;

export type FindingCode = keyof typeof severities;

export interface Finding {
  code: FindingCode;
  store?: string;
  hours?: number;
  days?: number;
  count?: number;
}

export type State = "kept" | "unproven" | "broken";

export function stateOf(findings: readonly Finding[]): State {
  if (findings.some(({ code }) => severities[code] === "broken")) return "broken";
  return findings.length > 0 ? "unproven" : "kept";
}
