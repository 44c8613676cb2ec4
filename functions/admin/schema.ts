/** What operators may ask for. */
import { z } from "zod";
import { amountMicro, keyFields, modelId } from "#shared/key-fields.ts";
import { imageQualities, modelKinds } from "#shared/policy.ts";

const accountId = z.uuid();
const tokens = z.int().min(0).max(100_000_000);
/** Micro-rupiah for a token or an image; the bound keeps a worst case below 2^53. */
const priceMicro = z.int().min(0).max(1_000_000_000_000);

export const CreateAccount = z.strictObject({
  email: z.email().max(254),
  name: z.string().trim().min(1).max(128).nullable().default(null),
});

export const suspensionReasons = ["operator_decision", "abuse", "security", "unpaid", "legal"] as const;
export const SuspendAccount = z.strictObject({ accountId, reason: z.enum(suspensionReasons).default("operator_decision") });
export const NamedAccount = z.strictObject({ accountId });

const { name, scopes, ...limits } = keyFields;

export const CreateKey = z.strictObject({
  accountId,
  name,
  scopes,
  models: limits.models.default(null),
  expiresAtMs: limits.expiresAtMs.default(null),
  requestsPerMinute: limits.requestsPerMinute.default(null),
  tokensPerMinute: limits.tokensPerMinute.default(null),
  monthlyBudgetMicro: limits.monthlyBudgetMicro.default(null),
});

/** Limits that are not given stay; null takes one away. */
export const ChangeLimits = z.strictObject({ keyId: z.uuid(), ...z.object(limits).partial().shape });
export const RevokeKey = z.strictObject({ keyId: z.uuid() });

export const billingReasons = [
  "bank_transfer",
  "signup",
  "refund_requested",
  "account_closing",
  "service_fault",
  "goodwill",
  "correction",
] as const;

/** What is added to the customer's credit: negative for a refund, either for an adjustment. */
export const PostCredit = z.strictObject({
  accountId,
  kind: z.enum(["top_up", "refund", "signup_credit", "adjustment"]),
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

/** Days (UTC) from the first to the last, both included. */
const booksDaysMax = 92;
export const ReadBooks = z
  .strictObject({ from: z.iso.date(), to: z.iso.date() })
  .refine(({ from, to }) => from <= to, { path: ["to"], message: "must not be before `from`" })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) < booksDaysMax * 86_400_000, { path: ["to"], message: `must be less than ${booksDaysMax} days after \`from\`` });

/** Over how many of the last minutes that are known; readings are kept for 30 days. */
export const ReadReconciliation = z.strictObject({ minutes: z.int().min(5).max(43_200).default(60) });

export const Nothing = z.strictObject({});
