/** Documents for mails that notify sends: the same as the public routes hand out. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import { type Document, makeInvoiceDocument } from "./invoice-document.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { findInvoice } from "./queries.ts";
import type { DocumentsAnswer, DocumentsRequest } from "./schema.ts";

export interface DocumentsDeps {
  database: DatabasePool;
  invoices: InvoiceSettings;
}

export function createDocuments({ database, invoices }: DocumentsDeps) {
  async function make({ objectId }: DocumentsRequest): Promise<Document[]> {
    const invoice = await database.run((sql) => findInvoice(sql, objectId));
    if (!invoice) throw new EpithreError("not_found", "Cannot make document: no such invoice");
    return [await makeInvoiceDocument(invoice, invoices, database)];
  }

  return async function documents(request: DocumentsRequest): Promise<DocumentsAnswer> {
    const made = await make(request);
    return made.map(({ filename, contentType, bytes }) => ({ filename, contentType, base64: Buffer.from(bytes).toString("base64") }));
  };
}
