/** What leaves notify. Nothing enters: what to send is in the outbox. */
import { z } from "zod";

/** What a mail can be about; each has its words in templates.ts. */
export const mailTemplates = ["welcome"] as const;
export type MailTemplate = (typeof mailTemplates)[number];

export const NotifyAnswer = z.strictObject({ sent: z.int(), failed: z.int() });
export type NotifyAnswer = z.output<typeof NotifyAnswer>;
