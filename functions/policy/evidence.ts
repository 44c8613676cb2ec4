/** The evidence: facts, judged and signed. Measured once a minute at most, whoever asks. */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { policy, policyVersion } from "#shared/policy.ts";
import type { ReceiptSigner } from "#shared/receipts.ts";
import { type BackupWindowDays, earlyDays, erasureGraceDays } from "#shared/stored-data.ts";
import { createCached } from "./cached.ts";
import { type Facts, readFacts } from "./facts.ts";
import type { Finding } from "./findings.ts";
import { type Judgement, judge } from "./judge.ts";
import type { Status } from "./status.ts";
import { hourMs, measureStores, type StoreEvidence } from "./stores.ts";

export interface EvidenceDeps {
  database: DatabasePool;
  status: () => Promise<Status>;
  signer: ReceiptSigner;
  clock: Clock;
  backupWindowDays: BackupWindowDays;
  release: string;
}

export interface Evidence {
  judgements: Judgement[];
  judgedAt: Date;
  /** Null: the database has not answered since this process began. */
  facts: Facts | null;
  stores: StoreEvidence[];
  backupWindowDays: BackupWindowDays;
  release: string;
  /** `/policy/evidence.json`. */
  document: string;
}

/** Milliseconds that one measurement is everybody's; after a failure too, so that nobody's asking keeps the database busy. */
const keptMs = 60_000;

export function createEvidence(deps: EvidenceDeps): () => Promise<Evidence> {
  const { database, status, signer, clock, backupWindowDays: window, release } = deps;
  let last: { facts: Facts; readAtMs: number } | undefined;

  /** As the database's clock has gone on since it told the time. */
  const nowMs = () => (last ? last.facts.measuredAt.getTime() + clock.monotonicMs() - last.readAtMs : clock.wallMs());

  async function build(): Promise<Evidence> {
    const [facts, now] = await Promise.all([readFacts(database).catch(() => undefined), status()]);
    if (facts) last = { facts, readAtMs: clock.monotonicMs() };
    const stores = last ? measureStores(last.facts, window) : [];
    const known = { facts: last?.facts ?? null, stores, status: now, window, nowMs: nowMs() };
    const evidence = {
      judgements: judge(known),
      judgedAt: new Date(known.nowMs),
      facts: known.facts,
      stores,
      backupWindowDays: window,
      release,
    };
    return { ...evidence, document: sign(evidence) };
  }

  /** What is shown is what was signed, in one text: whoever changes a byte of either has changed something else. */
  function sign(evidence: Omit<Evidence, "document">): string {
    const statement = describe(evidence);
    return JSON.stringify({ ...statement, signature: signer.sign("epithre-evidence-v1", statement) });
  }

  return createCached(build, keptMs, clock);
}

/** The public's form of it: times in ISO 8601, hours to the hundredth. */
function describe({ judgements, judgedAt, facts, stores, backupWindowDays, release }: Omit<Evidence, "document">) {
  return {
    policy: policyVersion,
    judged_at: judgedAt.toISOString(),
    measured_at: facts?.measuredAt.toISOString() ?? null,
    release,
    migration: facts?.migration ?? null,
    promises: judgements.map(({ id, kind, state, findings }) => ({ id, kind, state, findings: findings.map(rounded) })),
    backups: { window_days: backupWindowDays, live_data_goes_days_earlier: earlyDays(backupWindowDays) },
    stores: stores.map((one) => ({
      store: one.store,
      promise: one.promise,
      oldest_at: one.oldestAt?.toISOString() ?? null,
      promised_hours: one.promisedHours,
      live_hours: one.liveHours,
      margin_hours: hundredth(one.marginHours),
    })),
    erasures: facts && {
      due: facts.dueErasures.accounts,
      oldest_due_hours: dueHours(facts) === null ? null : hundredth(dueHours(facts)!),
    },
    purge: facts && {
      finished_at: facts.purge.finishedAt?.toISOString() ?? null,
      live_data_goes_days_earlier: facts.purge.earlyDays,
      refused_since: facts.purge.refusedSince?.toISOString() ?? null,
    },
    canary: facts?.canary
      ? {
          scanned_at: facts.canary.scannedAt.toISOString(),
          bytes_searched: facts.canary.bytesSearched,
          stores_searched: facts.canary.storesSearched,
          stores_not_searched: facts.canary.storesNotSearched,
          controls_found: facts.canary.controlsFound,
          hits: facts.canary.hits,
        }
      : null,
    audit_head: facts?.auditHead
      ? {
          day: facts.auditHead.day,
          rows: facts.auditHead.rows,
          head: facts.auditHead.head,
          sealed_until: facts.auditHead.sealedUntil.toISOString(),
          statement: facts.auditHead.statement,
        }
      : null,
    attestations: (facts?.attestations ?? []).map(({ promise, sentenceDigest, statedAt, expiresAt }) => ({
      promise,
      role: roleOf(promise),
      sentence_sha256: sentenceDigest,
      stated_at: statedAt.toISOString(),
      expires_at: expiresAt.toISOString(),
    })),
  };
}

/** Hours since the first of the erasures that are due came due. */
export function dueHours({ dueErasures: { oldestClosedAt }, measuredAt }: Facts): number | null {
  return oldestClosedAt && (measuredAt.getTime() - oldestClosedAt.getTime()) / hourMs - erasureGraceDays * 24;
}

function roleOf(id: string): string | null {
  const proof = policy.find((row) => row.id === id)?.proof;
  return proof?.kind === "attested" ? proof.role : null;
}

function rounded({ hours, ...finding }: Finding): Finding {
  return hours === undefined ? finding : { ...finding, hours: hundredth(hours) };
}

const hundredth = (hours: number) => Math.round(hours * 100) / 100;
