/** What may enter and leave accounts. */
import { z } from "zod";
import { microPerRupiah } from "#shared/money.ts";
import { keyFields } from "#shared/key-fields.ts";

/** What mail brings a token for; the names are the database's. */
export const tokenPurposes = ["verify_email", "reset_password", "change_email", "cancel_deletion"] as const;
export type TokenPurpose = (typeof tokenPurposes)[number];

/** Of notify, as it sends a mail. `null`: there is nothing left to do with it, and the mail is not to be sent. */
export const MailTokenRequest = z.strictObject({ accountId: z.uuid(), purpose: z.enum(tokenPurposes) });
export const MailTokenAnswer = z.strictObject({ token: z.string().nullable() });
export type MailTokenAnswer = z.output<typeof MailTokenAnswer>;

const email = z.email("must be an e-mail address").max(254);
const name = z.string().trim().min(1).max(128).nullable();

/** Characters. NIST SP 800-63B asks for 15 where a password stands alone, and for no rule about their kinds. */
const passwordCharacters = { min: 12, max: 256 };
const password = z.string().min(1).max(passwordCharacters.max);
const newPassword = z
  .string()
  .min(passwordCharacters.min, `must have ${passwordCharacters.min} characters or more`)
  .max(passwordCharacters.max)
  .refine((text) => new Set(text).size > 3, "must not be one character again and again");

/** 256 bits in base64url. */
const token = z.string().regex(/^[\w-]{43}$/, "must be the token of the mail, as it stands in the link after `=`");

export const SignUp = z.strictObject({ email, password: newPassword, name: name.default(null) });
export const NamedEmail = z.strictObject({ email });
export const LogIn = z.strictObject({ email, password });
export const VerifyEmail = z.strictObject({ token, password });
export const ResetPassword = z.strictObject({ token, password: newPassword });
export const UseToken = z.strictObject({ token });
export const ChangePassword = z.strictObject({ password, new_password: newPassword });
export const Nothing = z.strictObject({});

/** Another address needs the password: a session alone must not be enough to take the account away. */
export const ChangeAccount = z
  .strictObject({ name: name.optional(), email: email.optional(), password: password.optional() })
  .refine(({ email: address, password: given }) => address === undefined || given !== undefined, {
    path: ["password"],
    message: "must be given to change the e-mail address",
  });

export const DeleteAccount = z.strictObject({ password, forfeit_credit: z.boolean().default(false) });

const rupiah = z
  .union([z.int().min(0).max(1_000_000_000_000).transform(String), z.string().regex(/^\d{1,12}(\.\d{1,6})?$/, "must be rupiah, such as 50000")])
  .transform((text) => {
    const [whole, fraction = ""] = text.split(".") as [string, string?];
    return BigInt(whole) * BigInt(microPerRupiah) + BigInt(fraction.padEnd(6, "0"));
  });

const expiresAt = z.iso
  .datetime({ offset: true, error: "must be a time such as 2026-12-31T00:00:00Z" })
  .transform(Date.parse)
  .refine((timeMs) => timeMs > 0, "must be a time after 1970")
  .nullable();

const limits = {
  models: keyFields.models,
  expires_at: expiresAt,
  requests_per_minute: keyFields.requestsPerMinute,
  tokens_per_minute: keyFields.tokensPerMinute,
  monthly_budget_rupiah: rupiah.nullable(),
};

export const CreateKey = z
  .strictObject({ name: keyFields.name, scopes: keyFields.scopes, ...z.object(limits).partial().shape })
  .transform(asKeyFields);

/** What is not given stays; null takes a limit away. */
export const ChangeKey = z.strictObject({ name: keyFields.name.optional(), ...z.object(limits).partial().shape }).transform(asKeyFields);

/** Hours that a rotated key still works: 30 days at the most. */
export const RotateKey = z.strictObject({ overlap_hours: z.int().min(0).max(720).default(24) });

export const KeyId = z.uuid();

interface AskedKey {
  expires_at?: number | null;
  requests_per_minute?: number | null;
  tokens_per_minute?: number | null;
  monthly_budget_rupiah?: bigint | null;
}

function asKeyFields<Asked extends AskedKey>({
  expires_at: expiresAtMs, requests_per_minute: requestsPerMinute, tokens_per_minute: tokensPerMinute, monthly_budget_rupiah: monthlyBudgetMicro,
  ...same
}: Asked) {
  return { ...same, expiresAtMs, requestsPerMinute, tokensPerMinute, monthlyBudgetMicro };
}
