/** GET /v1/usage/{request_id}: what is kept of one request of one's own, signed on reading. */
import { EpithreError } from "#shared/errors.ts";
import type { Answer, Parts } from "./parts.ts";
import { findUsageEvent } from "./queries.ts";
import { fields } from "./records.ts";
import { RequestId } from "./schema.ts";

export function createUsageReceipt({ database, lookUps, signer, clock }: Parts): Answer {
  return async function usageReceipt({ accountId, rest }) {
    const id = RequestId.safeParse(rest);
    if (!id.success) throw unknownRequest();
    const leaveSeat = lookUps.take(accountId);
    const event = await database.run((sql) => findUsageEvent(sql, accountId, id.data)).finally(leaveSeat);
    if (!event) throw unknownRequest();
    const statement = { object: "usage.event", ...fields(event), signed_at: new Date(clock.wallMs()).toISOString() };
    return Response.json({ ...statement, receipt: signer.sign("epithre-usage-receipt-v1", statement) });
  };
}

/** The same whether it never was, is another account's, or has gone. */
const unknownRequest = () =>
  new EpithreError("not_found", "Cannot find this request in the account's usage: it appears once its call has ended, and goes after 90 days");
