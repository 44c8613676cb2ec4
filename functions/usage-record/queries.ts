/** All SQL of usage-record: each query is one call of one function. */
import type { Sql } from "#shared/db.ts";
import { claimHours } from "#shared/stored-data.ts";
import { claimsPerHourMax, type ClaimAnswer, type ClaimRelease, type ClaimRequest, type Settlement, type SettlementsAnswer } from "./schema.ts";

/** What a model can be called, with no character that means something in the text of a row. */
const modelNamePattern = /^[0-9A-Za-z._:/-]+$/;

/**
 * Settles a batch in one transaction; answers in its order. Calling again with the same batch changes nothing and
 * answers the same.
 */
export async function settle(sql: Sql, settlements: Settlement[]): Promise<SettlementsAnswer["results"]> {
  const batch = `{${settlements.map(rowText).join(",")}}`;
  const differing = await sql<
    { row_number: bigint; outcome: SettlementsAnswer["results"][number]["outcome"]; charged_micro: bigint }[]
  >`select * from settle(${batch}::settlement[])`;
  const results: SettlementsAnswer["results"] = settlements.map(({ costMicro }) => ({
    outcome: "settled",
    chargedMicro: costMicro,
  }));
  for (const { row_number, outcome, charged_micro } of differing) {
    results[Number(row_number) - 1] = { outcome, chargedMicro: Number(charged_micro) };
  }
  return results;
}

/**
 * The text of one row of an array of `settlement`, fields in the order of the type. A name that no model can have
 * goes as null, which no model has.
 */
function rowText(settlement: Settlement): string {
  const { requestId, accountId, keyId, leaseId, model, endpoint, priceVersion } = settlement;
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens, images } = settlement;
  const { costMicro, latencyMs, status } = settlement;
  const modelName = modelNamePattern.test(model) ? model : "";
  return (
    `"(${requestId},${accountId},${keyId},${leaseId},${modelName},${endpoint},${priceVersion},` +
    `${promptTokens},${cachedTokens},${completionTokens},${reasoningTokens},${images},` +
    `${costMicro},${latencyMs},${status})"`
  );
}

/** Claims an Idempotency-Key for a request, or says which request has it. Calling again answers the same. */
export async function claim(sql: Sql, request: ClaimRequest, hourlyMax = claimsPerHourMax): Promise<ClaimAnswer> {
  const { requestId, accountId, keyId, leaseId, model, endpoint, priceVersion, runsMs } = request;
  const [row] = await sql<
    { outcome: ClaimAnswer["outcome"]; request_id: string; charged_micro: bigint; status: number }[]
  >`
    select outcome, request_id, charged_micro, status from claim_request(
      ${accountId}, ${byteaArray(request.digests)}::bytea[], ${requestId}, ${keyId}, ${leaseId}, ${model}, ${endpoint},
      ${priceVersion}, ${`${runsMs} milliseconds`}::interval, ${`${claimHours} hours`}::interval, ${hourlyMax}
    )
  `;
  const { outcome, request_id, charged_micro, status } = row!;
  if (outcome === "completed") return { outcome, requestId: request_id, chargedMicro: Number(charged_micro), status };
  return outcome === "in_progress" ? { outcome, requestId: request_id } : { outcome };
}

/** Gives a claim back that a request still has. */
export async function releaseClaim(sql: Sql, { accountId, digests, requestId }: ClaimRelease): Promise<void> {
  await sql`select release_claim(${accountId}, ${byteaArray(digests)}::bytea[], ${requestId})`;
}

/** The text of an array of bytes, from hex. */
function byteaArray(hex: string[]): string {
  return `{${hex.map((digest) => `"\\\\x${digest}"`).join(",")}}`;
}
