/** What operators may ask for. */
import { z } from "zod";
import { imageQualities, modelKinds, scopes } from "#shared/policy.ts";
import { billingKinds, billingReasons } from "../billing/schema.ts";

const accountId = z.uuid();
const modelId = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._:/-]{0,127}$/, "must be letters, digits and . _ : / - (128 at most)");
const tokens = z.int().min(0).max(100_000_000);
const limit = z.int().positive().max(2_147_483_647).nullable();
/** Micro-rupiah for a token or an image; the bound keeps a worst case below 2^53. */
const priceMicro = z.int().min(0).max(1_000_000_000_000);

/** Micro-rupiah as a decimal string, since a balance can exceed 2^53; the bound is that of `bigint`. */
const amountMicro = z
  .string()
  .regex(/^-?\d{1,18}$/, "must be an integer of micro-rupiah, as a string")
  .transform(BigInt);

const models = z.array(modelId).min(1).max(100).nullable();
const expiresAtMs = z.int().positive().max(8_640_000_000_000_000).nullable();
/** Micro-rupiah that a key may spend in a month. */
const monthlyBudgetMicro = z
  .union([amountMicro, z.int().transform(BigInt)])
  .refine((micro) => micro >= 0n, "must not be negative")
  .nullable();

export const CreateAccount = z.strictObject({
  email: z.email().max(254),
  name: z.string().trim().min(1).max(128).nullable().default(null),
});

export const suspensionReasons = ["operator_decision", "abuse", "security", "unpaid", "legal"] as const;
export const SuspendAccount = z.strictObject({ accountId, reason: z.enum(suspensionReasons).default("operator_decision") });
export const NamedAccount = z.strictObject({ accountId });

export const CreateKey = z.strictObject({
  accountId,
  name: z.string().trim().min(1).max(64),
  scopes: z.array(z.enum(scopes)).min(1).max(scopes.length),
  models: models.default(null),
  expiresAtMs: expiresAtMs.default(null),
  requestsPerMinute: limit.default(null),
  tokensPerMinute: limit.default(null),
  monthlyBudgetMicro: monthlyBudgetMicro.default(null),
});

/** Limits that are not given stay; null takes one away. */
export const ChangeLimits = z.strictObject({
  keyId: z.uuid(),
  models: models.optional(),
  expiresAtMs: expiresAtMs.optional(),
  requestsPerMinute: limit.optional(),
  tokensPerMinute: limit.optional(),
  monthlyBudgetMicro: monthlyBudgetMicro.optional(),
});
export const RevokeKey = z.strictObject({ keyId: z.uuid() });

/** What is added to the customer's credit: negative for a refund, either for an adjustment. */
export const PostCredit = z.strictObject({
  accountId,
  kind: z.enum(billingKinds),
  amountMicro,
  reason: z.enum(billingReasons),
  idempotencyKey: z.uuid(),
});

export const CreateModel = z.strictObject({
  id: modelId,
  kind: z.enum(modelKinds),
  contextTokens: tokens.positive(),
  outputTokensMax: tokens,
  templateTokens: tokens,
  imageTokensMax: tokens,
});
/** From this time on the model is refused; its recent users get a mail, so it is at least the notice ahead. */
export const RetireModel = z.strictObject({ id: modelId, retiresAtMs: z.int().positive().max(8_640_000_000_000_000) });
export const NamedModel = z.strictObject({ id: modelId });
export const EnableModel = z.strictObject({ id: modelId, enabled: z.boolean() });

/** Images of one size, one quality or both at a price of their own. */
const PriceLine = z
  .strictObject({
    size: z.string().regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, "must be WIDTHxHEIGHT in pixels, such as 1024x1024").nullable().default(null),
    quality: z.enum(imageQualities).nullable().default(null),
    imageMicro: priceMicro,
  })
  .refine(({ size, quality }) => size !== null || quality !== null, "must name a size, a quality or both: the price itself is for all others");

/** Without a time the price is in force at once. */
export const CreatePrice = z.strictObject({
  model: modelId,
  effectiveAtMs: z.int().positive().max(8_640_000_000_000_000).optional(),
  inputMicro: priceMicro,
  cachedInputMicro: priceMicro,
  outputMicro: priceMicro,
  imageMicro: priceMicro,
  lines: z.array(PriceLine).max(64).default([]),
});

/** After what an account gets its signup credit (infra/decisions/0009-invoices.md). */
export const signupCreditMoments = ["verified_email", "operator", "first_transfer", "never"] as const;

/** One of both: `INV-2026-000123`, or whose invoices. */
export const FindInvoices = z.union([
  z.strictObject({
    number: z
      .string()
      .regex(/^INV-\d{4}-\d{6,9}$/, "must be of the form INV-2026-000123")
      .transform((text) => ({ year: Number(text.slice(4, 8)), number: Number(text.slice(9)) })),
  }),
  z.strictObject({ accountId }),
]);

/** What the bank says that came in, tax included. */
export const ConfirmInvoice = z.strictObject({ invoiceId: z.uuid(), receivedRupiah: z.int().min(1).max(2_000_000_000) });
/** Days (UTC) from the first to the last, both included. */
const booksDaysMax = 92;
export const ReadBooks = z
  .strictObject({ from: z.iso.date(), to: z.iso.date() })
  .refine(({ from, to }) => from <= to, { path: ["to"], message: "must not be before `from`" })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) < booksDaysMax * 86_400_000, { path: ["to"], message: `must be less than ${booksDaysMax} days after \`from\`` });

/** Over how many of the last minutes that are known; readings are kept for 30 days. */
export const ReadReconciliation = z.strictObject({ minutes: z.int().min(5).max(43_200).default(60) });

export const Nothing = z.strictObject({});
