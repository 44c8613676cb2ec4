/** What may enter and leave export. */
import { z } from "zod";

const Day = z.iso.date("must be a date such as 2026-05-31");

/** Also in capitals, as UUIDs are read; compared in the form that the database gives. */
export const RequestId = z.uuidv7("must be a request_id of the usage log").toLowerCase();

/** Of GET /v1/usage.csv. Days are UTC and both count; `cursor` is the request_id of the last record that came. */
export const UsageQuery = z.strictObject({
  from: Day.optional(),
  to: Day.optional(),
  cursor: RequestId.optional(),
});
export type UsageQuery = z.output<typeof UsageQuery>;

/** Of GET /v1/usage.csv.receipt: the query of the file, its last record, and one record to prove. */
export const ReceiptQuery = UsageQuery.extend({
  through: RequestId.optional(),
  row: RequestId.optional(),
});
export type ReceiptQuery = z.output<typeof ReceiptQuery>;

/** One usage event. `time` is in its id. */
export interface UsageRow {
  id: string;
  keyId: string;
  model: string;
  endpoint: string;
  status: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  images: number;
  costMicro: bigint;
  latencyMs: number;
  priceVersion: number;
}
