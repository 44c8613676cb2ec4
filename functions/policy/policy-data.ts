/** `/policy.json`: the policy as data, with what is derived from it here. */
import { policy, policyVersion } from "#shared/policy.ts";
import { policyTexts, proofText } from "#shared/policy-texts.ts";
import { type BackupWindowDays, columns, earlyDays } from "#shared/stored-data.ts";
import { endingStores } from "./stores.ts";

export function policyJson(window: BackupWindowDays): string {
  const texts = policyTexts(policy);
  return JSON.stringify({
    ...policyVersion,
    promises: policy.map((row, index) => ({
      ...texts[index],
      amount: "limit" in row ? row.limit : null,
      proof: { kind: row.proof.kind, how: proofText(row.proof), ...(row.proof.kind === "attested" ? { valid_days: row.proof.validDays } : {}) },
    })),
    retention: endingStores.map(({ promise, table, time, how, limit }) => ({ promise, store: table, time, how, limit })),
    live_data_goes_days_earlier: earlyDays(window),
    stored: columns,
  });
}
