/** Invoices: what one is, and what its account is shown of it. */
import { formatRupiah } from "#shared/money.ts";
import type { PaymentMethod } from "./payments.ts";

export interface Invoice {
  id: string;
  accountId: string;
  year: number;
  number: number;
  creditMicro: bigint;
  ppnBasisPoints: number;
  ppnMicro: bigint;
  issuedAt: Date;
  dueAt: Date;
  state: "open" | "paid" | "cancelled";
  paidAt: Date | null;
}

/** What configuration says of invoices. */
export interface InvoiceSettings {
  seller: { name: string; address: string; npwp: string };
  payment: PaymentMethod;
  ppnBasisPoints: number;
  /** Rupiah of credit that one invoice may be over. */
  minRupiah: number;
  maxRupiah: number;
  dueDays: number;
}

/** Who issues documents, as their letterhead has it. */
export function issuerOf({ name, address, npwp }: InvoiceSettings["seller"]): string[] {
  return [name, address, `NPWP ${npwp}`];
}

/** `INV-2026-000123` */
export function invoiceNumber({ year, number }: Pick<Invoice, "year" | "number">): string {
  return `INV-${year}-${String(number).padStart(6, "0")}`;
}

/** `1100` -> `11`, `250` -> `2.5` */
export function percentOf(basisPoints: number): string {
  return String(basisPoints / 100);
}

/** What its account is shown: amounts in rupiah, as exact decimal strings. */
export function invoiceObject(invoice: Invoice, payment: PaymentMethod) {
  const number = invoiceNumber(invoice);
  return {
    object: "invoice",
    id: invoice.id,
    number,
    state: invoice.state,
    issued_at: invoice.issuedAt.toISOString(),
    due_at: invoice.dueAt.toISOString(),
    currency: "IDR",
    credit: formatRupiah(invoice.creditMicro),
    ppn_percent: percentOf(invoice.ppnBasisPoints),
    ppn: formatRupiah(invoice.ppnMicro),
    total: formatRupiah(invoice.creditMicro + invoice.ppnMicro),
    paid_at: invoice.paidAt?.toISOString() ?? null,
    payment: payment.detailsFor(number),
  };
}

/** What a top-up can be over, and what comes on top of it. */
export function topUpTerms({ minRupiah, maxRupiah, ppnBasisPoints, dueDays }: InvoiceSettings) {
  return {
    object: "topup_terms",
    currency: "IDR",
    min_rupiah: minRupiah,
    max_rupiah: maxRupiah,
    ppn_percent: percentOf(ppnBasisPoints),
    due_days: dueDays,
  };
}
