/** What leaves notify. Nothing enters: what to send is in the outbox. */
import { z } from "zod";

/** What a mail can be about; each has its words in templates.ts. */
export const mailTemplates = [
  "welcome",
  "model_retirement",
  "invoice",
  "receipt",
  "low_balance",
  "statement",
  "verify_email",
  "already_registered",
  "reset_password",
  "password_changed",
  "change_email",
  "email_change_asked",
  "account_deleted",
  "export_ready",
] as const;
export type MailTemplate = (typeof mailTemplates)[number];

/** What a mail is about; a template takes one of them or none. */
export interface About {
  /** A record of the account. */
  objectId: string | null;
  /** `2026-11`. */
  month: string | null;
  model: string | null;
  /** `2026-11-30`: when the model is retired (UTC), where that is announced. */
  retiresOn: string | null;
  /** The page of the dashboard that does what the mail is about, with the token for it where there is one. */
  link?: string;
}

export const NotifyAnswer = z.strictObject({ sent: z.int(), failed: z.int() });
export type NotifyAnswer = z.output<typeof NotifyAnswer>;
