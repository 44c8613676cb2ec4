/** Documents for mails that notify sends: the same as the public routes hand out. */
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Document } from "./document.ts";
import { makeInvoiceDocument } from "./invoice-document.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { findInvoice } from "./queries.ts";
import type { DocumentsAnswer, DocumentsRequest } from "./schema.ts";
import { readStatement } from "./statement.ts";
import { statementCsv } from "./statement-csv.ts";
import { statementPdf } from "./statement-pdf.ts";

export interface DocumentsDeps {
  database: DatabasePool;
  /** With connections of its own: grants of leases never wait behind a statement. */
  statementDatabase: DatabasePool;
  invoices: InvoiceSettings;
}

export function createDocuments({ database, statementDatabase, invoices }: DocumentsDeps) {
  async function make(request: DocumentsRequest): Promise<Document[]> {
    if (request.kind === "statement") {
      const statement = await readStatement(statementDatabase, request.accountId, request.month);
      return [await statementPdf(statement, invoices.seller), statementCsv(statement)];
    }
    const invoice = await database.run((sql) => findInvoice(sql, request.objectId));
    if (!invoice) throw new EpithreError("not_found", "Cannot make document: no such invoice");
    return [await makeInvoiceDocument(invoice, invoices, database)];
  }

  return async function documents(request: DocumentsRequest): Promise<DocumentsAnswer> {
    const made = await make(request);
    return made.map(({ filename, contentType, bytes }) => ({ filename, contentType, base64: Buffer.from(bytes).toString("base64") }));
  };
}
