/** What operators may ask for. */
import { z } from "zod";
import { amountMicro, keyFields, modelId } from "#shared/key-fields.ts";
import { imageQualities, modelKinds, policy } from "#shared/policy.ts";
import { billingKinds, billingReasons } from "../billing/schema.ts";

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

const attestedIds = policy.flatMap(({ id, proof }) => (proof.kind === "attested" ? [id] : []));
/** One that operators attest. */
export const NamedPromise = z.strictObject({ promise: z.enum(attestedIds, `must be one of ${attestedIds.join(", ")}`) });

/** One of these. */
export const FindAccounts = z.union(
  [
    z.strictObject({ email: z.string().trim().min(3).max(254) }),
    z.strictObject({ accountId }),
    z.strictObject({ keyPrefix: z.string().regex(/^ep_[0-9A-Za-z]{9}$/, "must be the first 12 characters of a key") }),
  ],
  { error: "must have one of email, accountId and keyPrefix (the first 12 characters of a key)" },
);

const auditPlace = z.strictObject({
  at: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, "must be the time of a row as it was told"),
  id: z.string().regex(/^\d{1,18}$/, "must be the id of a row"),
});
/** Each filter that is given must fit. Days are UTC, both included; `before` is `next` of the page before. */
export const ReadAudit = z.strictObject({
  accountId: accountId.nullable().default(null),
  operatorId: z.uuid().nullable().default(null),
  action: z.string().regex(/^[a-z_]{1,64}$/, "must be an action of the log").nullable().default(null),
  from: z.iso.date().nullable().default(null),
  to: z.iso.date().nullable().default(null),
  before: auditPlace.nullable().default(null),
});
export const ExportAudit = z.strictObject({ from: z.iso.date().nullable().default(null), to: z.iso.date().nullable().default(null) });

const operatorId = z.uuid();
const operatorName = z.string().regex(/^[a-z][a-z0-9._-]{0,31}$/, "must be lower case letters, digits and . _ - (32 at most), a letter first");
export const CreateOperator = z.strictObject({ name: operatorName });
export const NamedOperator = z.strictObject({ operatorId });
export const SignOut = z.strictObject({ everywhere: z.boolean().default(false) });

/** 32 bytes in base64url. */
const invite = z.string().regex(/^[\w-]{43}$/, "must be the word of an enrolment link");
export const AskEnrolment = z.strictObject({ invite });

/** What a browser says of a passkey; the fields that matter, of some kilobytes at most. */
const base64url = z.string().regex(/^[\w-]{1,8192}$/, "must be base64url");
const passkey = { id: base64url, rawId: base64url, type: z.literal("public-key") };
export const SignIn = z.strictObject({
  response: z.object({
    ...passkey,
    response: z.object({ clientDataJSON: base64url, authenticatorData: base64url, signature: base64url }),
  }),
});
export const Enrol = z.strictObject({
  invite,
  response: z.object({ ...passkey, response: z.object({ clientDataJSON: base64url, attestationObject: base64url }) }),
});
