/** What calls make of leases, in the words of lease_move(): each lease once. */
import { uuidv7 } from "#shared/ids.ts";
import type { MicroRupiah } from "#shared/money.ts";
import type { GrantAnswer, LeaseReport, LeaseRequest, SyncAnswer } from "./schema.ts";

/** What one replica asks for or, without requests, reports on its leases. */
export interface LeaseCall {
  replicaId: string;
  requests: LeaseRequest[];
  reports: LeaseReport[];
}

/** For each request and each report, in order; recalled where the replica reports. */
export type LeaseAnswer = GrantAnswer & SyncAnswer;

export interface PlainGrant {
  leaseId: string;
  grantedMicro: MicroRupiah;
}

/** Texts of rows of `lease_change`, and what they grant, in the order of all requests. */
export interface Changes {
  rows: string[];
  grants: PlainGrant[];
}

/**
 * What the reports say, and to each request all that it wants, which nearly every account can pay for. `undefined` where
 * requests must be looked at one by one: a key has a budget, or a lease is named twice.
 */
export function changesOf(calls: LeaseCall[], nowMs: number): Changes | undefined {
  const rows = reportsByLease(calls);
  const grants: PlainGrant[] = [];
  for (const { replicaId, requests } of calls) {
    for (const { accountId, keyId, leaseId, needsMicro, wantMicro } of requests) {
      const grantedMicro = needsMicro.reduce((sum, need) => sum + need, wantMicro);
      const id = leaseId ?? uuidv7(nowMs);
      if (keyId !== undefined || rows.has(id) || grantedMicro > Number.MAX_SAFE_INTEGER) return undefined;
      const largestMicro = Math.max(wantMicro, ...needsMicro);
      rows.set(id, `"(${id},${leaseId === null},${replicaId},${accountId},${grantedMicro},${largestMicro},true,0,false,false)"`);
      grants.push({ leaseId: id, grantedMicro });
    }
  }
  return { rows: [...rows.values()], grants };
}

/** The reports alone. */
export const reportRows = (calls: LeaseCall[]) => [...reportsByLease(calls).values()];

/**
 * Rows by lease. One that is reported on twice, by a call that was sent again, counts once: the report that gives most back.
 * Throws where two replicas report on one lease: which of them is told that it lives?
 */
function reportsByLease(calls: LeaseCall[]): Map<string, string> {
  const reports = new Map<string, LeaseReport & { replicaId: string }>();
  for (const { replicaId, reports: ofCall } of calls) {
    for (const report of ofCall) {
      const other = reports.get(report.leaseId);
      if (other && other.replicaId !== replicaId) throw new RangeError("Cannot move a lease for two replicas at once");
      if (!other || givesMore(report, other)) reports.set(report.leaseId, { ...report, replicaId });
    }
  }
  return new Map(Array.from(reports, ([id, report]) => [id, reportText(report)]));
}

const givesMore = (one: LeaseReport, other: LeaseReport) => (one.close ? !other.close : !other.close && one.returnMicro > other.returnMicro);

/** Fields in the order of `lease_change`. */
function reportText({ leaseId, replicaId, accountId, renew, returnMicro, recallAnswered, close }: LeaseReport & { replicaId: string }): string {
  return `"(${leaseId},false,${replicaId},${accountId ?? ""},0,,${renew},${returnMicro},${recallAnswered},${close})"`;
}

/** Texts of rows of `lease_request`, fields in the order of the type. */
export function requestRows(calls: LeaseCall[]): string[] {
  return calls.flatMap(({ replicaId, requests }) =>
    requests.map(
      ({ accountId, keyId, leaseId, needsMicro, wantMicro }) =>
        `"(${replicaId},${accountId},${keyId ?? ""},${leaseId ?? ""},\\"{${needsMicro.join(",")}}\\",${wantMicro})"`,
    ),
  );
}
