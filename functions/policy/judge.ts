/**
 * What the facts say of each promise. Nothing is green but by fresh evidence, by configuration that enforces it, or by a
 * statement of an operator that has not expired; what can be measured of the second kind is measured too.
 */
import { hash } from "node:crypto";
import { policy, promised, type PolicyRow, type PromiseId } from "#shared/policy.ts";
import { type BackupWindowDays, columns, earlyDays, erasureGraceDays, liveLimitDays } from "#shared/stored-data.ts";
import type { Facts } from "./facts.ts";
import { type Finding, type State, stateOf } from "./findings.ts";
import type { Status } from "./status.ts";
import { endingStores, hourMs, type StoreEvidence } from "./stores.ts";

/** Hours that evidence counts: it is measured every minute that somebody looks. */
const evidenceHoursMax = 2;
/** Hours between two runs of purge, which comes every hour; then it stops by itself until an operator has looked. */
const purgeGapHoursMax = 48;
/** Hours that an erasure may be late: what the limits leave for a failure (shared/stored-data.ts). */
const erasureLateHoursMax = 24;
/** Hours since the audit log was sealed, which happens every 5 minutes. */
const unsealedHoursMax = 2;
/** Hours between two scans for planted words. */
const canaryHoursMax = 48;

export interface Known {
  /** Null: the database has not answered since this process began. */
  facts: Facts | null;
  stores: readonly StoreEvidence[];
  status: Status;
  window: BackupWindowDays;
  nowMs: number;
}

export interface Judgement {
  id: string;
  kind: PolicyRow["proof"]["kind"];
  state: State;
  findings: Finding[];
}

interface Measured extends Known {
  facts: Facts;
  ageHours: (at: Date) => number;
}

type Check = (known: Measured) => Finding[];

export function judge(known: Known): Judgement[] {
  const { facts, nowMs } = known;
  const measured: Measured | null = facts && { ...known, facts, ageHours: (at) => (nowMs - at.getTime()) / hourMs };
  return policy.map(({ id, proof: { kind } }) => {
    const findings = findingsOf(id, kind, measured);
    return { id, kind, state: stateOf(findings), findings };
  });
}

function findingsOf(id: PromiseId, kind: Judgement["kind"], measured: Measured | null): Finding[] {
  const check = kind === "attested" ? attested(id) : checks[id];
  if (!check) return kind === "measured" ? [{ code: "not_measured" }] : [];
  if (!measured) return [{ code: "evidence_missing" }];
  const hours = measured.ageHours(measured.facts.measuredAt);
  return [...(hours > evidenceHoursMax ? [{ code: "evidence_old", hours } as const] : []), ...check(measured)];
}

/** A measured promise that is not here is red: whoever makes its evidence adds it. */
const checks: Partial<Record<PromiseId, Check>> = {
  "content.none": planted,
  "content.images": planted,
  "keep.closed": ({ facts }) => {
    const classified = new Set(Object.entries(columns).flatMap(([table, kinds]) => Object.values(kinds).flatMap((names) => names.map((name) => `${table}.${name}`))));
    const count = facts.columns.filter((column) => !classified.has(column)).length;
    return found(count > 0, { code: "columns_unknown", count });
  },
  "keep.*": (known) => [...withinLimits(null)(known), ...purged(known)],
  "keep.account": withinLimits("keep.account"),
  "keep.key": withinLimits("keep.key"),
  "keep.usage": withinLimits("keep.usage"),
  "keep.billing": withinLimits("keep.billing"),
  "keep.audit": (known) => [...withinLimits("keep.audit")(known), ...sealed(known)],
  "use.audit": (known) => [...found(known.facts.auditChangers > 0, { code: "audit_changeable", count: known.facts.auditChangers }), ...sealed(known)],
  "right.access": answers("accounts"),
  "right.correct": answers("accounts"),
  "right.export": answers("export"),
  "right.delete": ({ facts: { dueErasures: { accounts: count, oldestClosedAt } }, ageHours }) => {
    const hours = oldestClosedAt ? ageHours(oldestClosedAt) - erasureGraceDays * 24 : 0;
    return found(hours > erasureLateHoursMax, { code: "erasure_late", count, hours });
  },
  "sec.password": hasRule("persons_password_hash_form"),
  "sec.key": hasRule("api_keys_hash_length"),
};

const found = (is: boolean, finding: Finding): Finding[] => (is ? [finding] : []);

function withinLimits(promise: PromiseId | null): Check {
  return ({ stores }) =>
    endingStores
      .filter((row) => row.promise === promise)
      .flatMap(({ table }) => {
        const store = stores.find((one) => one.store === table);
        if (!store) return [{ code: "store_unseen", store: table } as const];
        return found(store.marginHours < 0, { code: "past_limit", store: table, hours: -store.marginHours });
      });
}

function purged({ facts: { purge, purgeLimits }, window, ageHours }: Measured): Finding[] {
  const refused = found(purge.refusedSince !== null, { code: "purge_refused" });
  if (purge.finishedAt === null || purge.earlyDays === null) return [...refused, { code: "purge_never" }];
  const hours = ageHours(purge.finishedAt);
  return [
    ...refused,
    ...found(hours > purgeGapHoursMax, { code: "purge_gap", hours }),
    ...found(purge.earlyDays !== earlyDays(window), { code: "purge_window", days: purge.earlyDays }),
    ...endingStores.flatMap(({ table, how, limit }): Finding[] => {
      const applied = purgeLimits.find(({ step }) => step === table);
      // A run that was cut short says so, and the next one goes on.
      if (!applied) return found(purge.stepsLeft === 0, { code: "purge_step", store: table });
      // Their limit is a moment of the row's own.
      if (how === "expire" || applied.liveDays === null) return [];
      const expected = how === "erase" ? erasureGraceDays : liveLimitDays(limit, window);
      return found(applied.liveDays !== expected, { code: "purge_limit", store: table, days: applied.liveDays });
    }),
  ];
}

function sealed({ facts: { auditHead }, ageHours }: Measured): Finding[] {
  if (!auditHead) return [{ code: "audit_never" }];
  const hours = ageHours(auditHead.sealedUntil);
  return found(hours > unsealedHoursMax, { code: "audit_unsealed", hours });
}

/** Enforced by configuration where nobody scans; where somebody does, the scan must have seen, and found nothing. */
function planted({ facts: { canary }, ageHours }: Measured): Finding[] {
  if (!canary) return [];
  const hours = ageHours(canary.scannedAt);
  return [
    ...found(canary.hits > 0, { code: "canary_hits", count: canary.hits }),
    ...found(canary.storesSearched === 0 || canary.controlsFound < canary.storesSearched, { code: "canary_blind" }),
    ...found(hours > canaryHoursMax, { code: "canary_old", hours }),
  ];
}

function answers(name: "accounts" | "export"): Check {
  return ({ status }) => {
    const watched = status.functions.find((one) => one.name === name);
    if (!watched) return [{ code: "not_measured" }];
    return found(watched.state !== "up", { code: "function_silent" });
  };
}

function hasRule(name: string): Check {
  return ({ facts }) => found(!facts.checks.includes(name), { code: "rule_missing" });
}

function attested(id: PromiseId): Check {
  return ({ facts, ageHours }) => {
    const statement = facts.attestations.find(({ promise }) => promise === id);
    if (!statement) return [{ code: "attestation_missing" }];
    const hours = ageHours(statement.expiresAt);
    return [
      ...found(statement.sentenceDigest !== hash("sha256", promised(id).promise), { code: "attestation_other" }),
      ...found(hours >= 0, { code: "attestation_expired", hours }),
    ];
  };
}
