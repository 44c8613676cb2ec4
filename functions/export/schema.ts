/** What may enter and leave export. */
import { z } from "zod";
import { endpoints } from "#shared/policy.ts";

const Day = z.iso.date("must be a date such as 2026-05-31");

/** Also in capitals, as UUIDs are read; compared in the form that the database gives. */
export const RequestId = z.uuidv7("must be a request_id of the usage log").toLowerCase();

/** Days are UTC and both count. */
const days = { from: Day.optional(), to: Day.optional() };

/** Events with these values in their columns only; of a status its class. */
export const Filters = z.strictObject({
  // As the price book has them: the longest, and no character that means something elsewhere.
  model: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._:/-]{0,127}$/, "must be the name of a model").optional(),
  key_id: z.uuid("must be a key_id of the usage log").toLowerCase().optional(),
  endpoint: z.enum(endpoints, `must be one of ${endpoints.join(", ")}`).optional(),
  status: z.enum(["2xx", "4xx", "5xx"], "must be 2xx, 4xx or 5xx").optional(),
});
export type Filters = z.output<typeof Filters>;

/** Of GET /v1/usage.csv. `cursor` is the request_id of the last record that came. */
export const UsageQuery = z.strictObject({ ...days, ...Filters.shape, cursor: RequestId.optional() });
export type UsageQuery = z.output<typeof UsageQuery>;

/** Of GET /v1/usage/events. `cursor` is the next_cursor of the page before: no event's id where its page ended between two. */
export const EventsQuery = z.strictObject({ ...days, ...Filters.shape, cursor: z.guid("must be next_cursor of the page before").toLowerCase().optional() });

/** Of GET /v1/usage.csv.receipt: the query of the file, its last record, and one record to prove. */
export const ReceiptQuery = UsageQuery.extend({
  through: RequestId.optional(),
  row: RequestId.optional(),
});
export type ReceiptQuery = z.output<typeof ReceiptQuery>;

/** What sums can be told apart by, in the order in which they are sorted. */
export const dimensions = ["day", "model", "key_id"] as const;
export type Dimension = (typeof dimensions)[number];

const dimensionsRule = `must be some of ${dimensions.join(", ")}, with commas between`;

/** Of GET /v1/usage. */
export const SummaryQuery = z.strictObject({
  ...days,
  ...Filters.shape,
  group_by: z
    .string()
    .default("day")
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(dimensions, dimensionsRule)).max(dimensions.length, dimensionsRule))
    .transform((named) => dimensions.filter((dimension) => named.includes(dimension))),
});
export type SummaryQuery = z.output<typeof SummaryQuery>;

/** Of POST /v1/usage/exports: what the file is to hold. */
export const ExportQuery = z.strictObject({ ...days, ...Filters.shape });
export type ExportQuery = z.output<typeof ExportQuery>;

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
