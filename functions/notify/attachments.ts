/** Documents that go out with a mail. Billing makes them at that moment; nothing of them is kept here. */
import type { InternalClient } from "#shared/http.ts";
import type { Attachment } from "#shared/mail.ts";
import { DocumentsAnswer, type DocumentsRequest } from "../billing/schema.ts";
import type { DueMail } from "./queries.ts";
import type { MailTemplate } from "./schema.ts";

/** Milliseconds for a few pages, or a statement that sums up much usage: longer than they take, short beside the run. */
const documentsTimeoutMs = 10_000;

const requests: Partial<Record<MailTemplate, (mail: DueMail) => DocumentsRequest>> = {
  invoice: ({ objectId }) => ({ kind: "invoice", objectId: objectId! }),
  receipt: ({ objectId }) => ({ kind: "invoice", objectId: objectId! }),
  statement: ({ accountId, month }) => ({ kind: "statement", accountId, month: month! }),
};

/** Fails when billing does not answer: the mail is then tried again later, as if the relay had refused it. */
export function createAttachments(billing: Pick<InternalClient, "post">): (mail: DueMail) => Promise<Attachment[]> {
  return async function attachmentsOf(mail) {
    const request = requests[mail.template]?.(mail);
    if (!request) return [];
    const documents = await billing.post("/documents", request, DocumentsAnswer, documentsTimeoutMs);
    return documents.map(({ filename, contentType, base64 }) => ({ filename, contentType, content: Buffer.from(base64, "base64") }));
  };
}
