/** What may enter and leave billing. Amounts are micro-rupiah (shared/money.ts). */
import { z } from "zod";
import { imageQualities, modelKinds } from "#shared/policy.ts";
import { monthPattern } from "./month.ts";

const micro = z.int().min(0);

/** Accounts that one call asks leases for. */
export const grantsPerCallMax = 256;
/** Holds of one account that wait for one grant. */
export const needsPerGrantMax = 64;
/** Leases that one call reports on; a replica with more sends several calls. */
export const leasesPerSyncMax = 1_000;

/**
 * `needsMicro` are the holds that wait, oldest first; `wantMicro` is what the replica would like beyond them.
 * With `leaseId` the lease grows, without it a new one is made. `keyId` where the key has a monthly budget: the lease
 * is then for that key alone.
 */
export const LeaseRequest = z.strictObject({
  accountId: z.uuid(),
  keyId: z.uuid().optional(),
  leaseId: z.uuid().nullable(),
  needsMicro: z.array(micro).min(1).max(needsPerGrantMax),
  wantMicro: micro,
});
export type LeaseRequest = z.output<typeof LeaseRequest>;

export const GrantRequest = z.strictObject({
  replicaId: z.uuid(),
  requests: z.array(LeaseRequest).min(1).max(grantsPerCallMax),
});

/**
 * In the order of the request. `granted`: the lease now has `grantedMicro` more, which covers the first
 * `needsCovered` holds; `ttlMs` counts from the moment the request was sent. `recalling`: other replicas were asked
 * to give idle money back; ask again after `retryMs`. `insufficient`: the account cannot pay for the first need;
 * `availableMicro` is what it has. `over_budget`: the account could, the key's budget of this month cannot;
 * `availableMicro` is what is left of it until it renews.
 */
export const GrantAnswer = z.strictObject({
  grants: z.array(
    z.discriminatedUnion("outcome", [
      z.strictObject({
        outcome: z.literal("granted"),
        leaseId: z.uuid(),
        grantedMicro: micro,
        needsCovered: z.int(),
        ttlMs: z.int(),
      }),
      z.strictObject({ outcome: z.literal("recalling"), retryMs: z.int() }),
      z.strictObject({ outcome: z.literal("insufficient"), availableMicro: micro }),
      z.strictObject({ outcome: z.literal("over_budget"), availableMicro: micro, renewsAtMs: z.int() }),
    ]),
  ),
});
export type GrantAnswer = z.output<typeof GrantAnswer>;
export type Grant = GrantAnswer["grants"][number];

/**
 * A replica's report on one of its leases: `renew` extends the time-to-live, `returnMicro` gives idle money back,
 * `close` ends the lease (nothing may be held on it). An answered recall has `returnMicro` of 0 or more with
 * `recallAnswered`. `accountId` says whose lease it is; without it the report does not wait for that account's other calls.
 */
export const LeaseReport = z.strictObject({
  leaseId: z.uuid(),
  accountId: z.uuid().optional(),
  renew: z.boolean(),
  returnMicro: micro,
  recallAnswered: z.boolean(),
  close: z.boolean(),
});
export type LeaseReport = z.output<typeof LeaseReport>;

export const SyncRequest = z.strictObject({
  replicaId: z.uuid(),
  leases: z.array(LeaseReport).max(leasesPerSyncMax),
});

/**
 * `leases`: the state of each lease reported on, in order; `gone` was expired or closed, stop spending it.
 * `recalled`: leases of this replica whose idle money is wanted elsewhere.
 */
export const SyncAnswer = z.strictObject({
  leases: z.array(z.strictObject({ gone: z.boolean(), ttlMs: z.int() })),
  recalled: z.array(z.uuid()),
});
export type SyncAnswer = z.output<typeof SyncAnswer>;

/** `keyId` asks also what a key with a monthly budget has spent. */
export const BalanceRequest = z.strictObject({ accountId: z.uuid(), keyId: z.uuid().optional() });
/** `balanceMicro` = billing events - consumed; decimal strings, since a balance can exceed 2^53. */
export const BalanceAnswer = z.strictObject({
  balanceMicro: z.string().regex(/^-?\d+$/),
  availableMicro: z.string().regex(/^-?\d+$/),
  /** Of the running month (UTC), since the key has a budget. */
  budget: z.strictObject({ spentMicro: z.string().regex(/^\d+$/), renewsAtMs: z.int() }).optional(),
});

export const PriceBookRequest = z.strictObject({});

/** Images of this size, quality or both (`null`: any): a price version of its own, all else as in the price. */
export const PriceLine = z.strictObject({
  version: z.int().positive(),
  size: z.string().nullable(),
  quality: z.enum(imageQualities).nullable(),
  imageMicro: micro,
});

/** One immutable version of a model's price; micro-rupiah for each token or image that no line names. */
export const Price = z.strictObject({
  version: z.int().positive(),
  effectiveAtMs: z.int(),
  inputMicro: micro,
  cachedInputMicro: micro,
  outputMicro: micro,
  imageMicro: micro,
  lines: z.array(PriceLine),
});
export type Price = z.output<typeof Price>;

export const Model = z.strictObject({
  id: z.string(),
  kind: z.enum(modelKinds),
  createdAtMs: z.int(),
  contextTokens: z.int().positive(),
  outputTokensMax: z.int().min(0),
  /** Tokens that the chat template can add to a prompt beyond its bytes. */
  templateTokens: z.int().min(0),
  /** The most tokens that one image can become. */
  imageTokensMax: z.int().min(0),
  enabled: z.boolean(),
  /** Announced: from its time on the model is refused. */
  retirement: z.strictObject({ announcedAtMs: z.int(), retiresAtMs: z.int() }).nullable(),
  /** Newest first; the one in force is the first whose time has come. */
  prices: z.array(Price).min(1),
});
export type Model = z.output<typeof Model>;

export const PriceBookAnswer = z.strictObject({ models: z.array(Model) });

/** Rupiah. Above this nobody is warned in time by a threshold, and a slip of the finger is more likely. */
export const alertRupiahMax = 1_000_000_000;

export const AlertBody = z.strictObject({ threshold_rupiah: z.int().min(1).max(alertRupiahMax).nullable() });

/** What a billing event can be, and why it was: the lists of the database. */
export const billingKinds = ["top_up", "refund", "signup_credit", "adjustment"] as const;
export type BillingKind = (typeof billingKinds)[number];
export const billingReasons = [
  "bank_transfer", "signup", "refund_requested", "account_closing", "service_fault", "goodwill", "correction",
] as const;
export type BillingReason = (typeof billingReasons)[number];

/** A UUID that the caller makes for each top-up, and sends again with each retry of it. */
export const IdempotencyKey = z.uuid();

export const InvoiceId = z.uuid();

/** Credit to buy, whole rupiah before tax. */
export function topUpRequest(minRupiah: number, maxRupiah: number) {
  const form = `must be whole rupiah, from ${minRupiah} to ${maxRupiah}`;
  return z.strictObject({ amount_rupiah: z.int(form).min(minRupiah, form).max(maxRupiah, form) });
}

/** Invoices on one page of a list. */
const invoicesPerPageMax = 100;
const pageForm = `must be a number from 1 to ${invoicesPerPageMax}`;

export const InvoicesQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,3}$/, pageForm)
    .transform(Number)
    .pipe(z.int().min(1, pageForm).max(invoicesPerPageMax, pageForm))
    .default(20),
  cursor: z.uuid("must be next_cursor of the page before").optional(),
});

/**
 * What notify asks for, to attach it to a mail: the document of an invoice, or its receipt once it is paid; a month's
 * statement, as PDF and CSV.
 */
export const DocumentsRequest = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("invoice"), objectId: z.uuid() }),
  z.strictObject({ kind: z.literal("statement"), accountId: z.uuid(), month: z.string().regex(monthPattern) }),
]);
export type DocumentsRequest = z.output<typeof DocumentsRequest>;

export const DocumentsAnswer = z.array(
  z.strictObject({ filename: z.string(), contentType: z.string(), base64: z.base64() }),
);
export type DocumentsAnswer = z.output<typeof DocumentsAnswer>;
