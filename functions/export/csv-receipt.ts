/** GET /v1/usage.csv.receipt: a signed statement about the records of a file that /v1/usage.csv answered. */
import { EpithreError } from "#shared/errors.ts";
import { exportStatement } from "./export-statement.ts";
import type { Answer, Parts } from "./parts.ts";
import { idRange } from "./range.ts";
import { readQuery } from "./read-query.ts";
import { ReceiptQuery } from "./schema.ts";
import { createPageAfter } from "./usage-pages.ts";
import { sumUsage } from "./usage-sum.ts";

/** Milliseconds. Gateways commonly give up after 60 s on an answer that has not begun. */
const sumMsMax = 55_000;

export function createCsvReceipt({ database, exports, signer, clock }: Parts): Answer {
  return async function csvReceipt({ accountId, searchParams, signal }) {
    const query = readQuery(searchParams, ReceiptQuery);
    const range = idRange(query);

    const leaveSeat = exports.take(accountId);
    try {
      const { proven, ...held } = await sumUsage({
        afterId: range.afterId,
        pageAfter: createPageAfter(database, accountId, range, query),
        provenId: query.row,
        signal: AbortSignal.any([signal, AbortSignal.timeout(sumMsMax)]),
      });
      if (query.row !== undefined && !proven) {
        throw new EpithreError("not_found", "Cannot prove this row: no record of the range has this request_id", { param: "row" });
      }
      const statement = exportStatement(accountId, query, held, clock.wallMs());
      const row = proven && {
        index: proven.proof.index,
        record: proven.record,
        hashes: proven.proof.hashes.map((hash) => hash.toString("hex")),
      };
      return Response.json({ ...statement, receipt: signer.sign("epithre-export-receipt-v1", statement), row });
    } finally {
      leaveSeat();
    }
  };
}
