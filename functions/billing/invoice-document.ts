/** An invoice as a PDF; once it is paid, its receipt. Made when it is asked for: the same row gives the same document. */
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Document } from "./document.ts";
import { type Invoice, invoiceNumber, type InvoiceSettings, issuerOf, percentOf } from "./invoices.ts";
import { createSheet, type Fact, printDay, printRupiah, type Sheet, type Words } from "./pdf.ts";
import { findRecipient, type Recipient } from "./queries.ts";

const titles: Record<Invoice["state"], Words> = {
  open: { id: "Faktur", en: "Invoice" },
  paid: { id: "Kuitansi", en: "Receipt" },
  cancelled: { id: "Faktur", en: "Invoice" },
};

const states: Record<Invoice["state"], Words> = {
  open: { id: "Belum dibayar", en: "Unpaid" },
  paid: { id: "Lunas", en: "Paid" },
  cancelled: { id: "Dibatalkan", en: "Cancelled" },
};

/** Once the account is erased nobody is left to name but its id. */
export async function makeInvoiceDocument(invoice: Invoice, settings: InvoiceSettings, database: DatabasePool): Promise<Document> {
  const recipient = await database.run((sql) => findRecipient(sql, invoice.id));
  const number = invoiceNumber(invoice);
  const sheet = await createSheet({
    title: titles[invoice.state],
    reference: number,
    issuer: issuerOf(settings.seller),
    madeAt: invoice.paidAt ?? invoice.issuedAt,
  });
  sheet.facts(factsOf(invoice, number));
  sheet.lines({ id: "Ditagihkan kepada", en: "Bill to" }, billTo(invoice, recipient));
  drawAmounts(sheet, invoice);
  drawPayment(sheet, invoice, settings);
  const filename = invoice.state === "paid" ? `${number}-receipt.pdf` : `${number}.pdf`;
  return { filename, contentType: "application/pdf", bytes: await sheet.bytes() };
}

function factsOf({ issuedAt, dueAt, paidAt, state }: Invoice, number: string): Fact[] {
  return [
    { label: { id: "Nomor", en: "Number" }, value: number },
    { label: { id: "Tanggal", en: "Date" }, value: printDay(issuedAt) },
    paidAt
      ? { label: { id: "Dibayar", en: "Paid on" }, value: printDay(paidAt) }
      : { label: { id: "Jatuh tempo", en: "Due" }, value: printDay(dueAt) },
    { label: { id: "Status", en: "Status" }, value: states[state] },
  ];
}

function billTo({ accountId }: Invoice, recipient: Recipient | undefined): string[] {
  const account = `ID akun / Account ID: ${accountId}`;
  if (!recipient) return [account];
  return [...(recipient.name === null ? [] : [recipient.name]), recipient.email, account];
}

function drawAmounts(sheet: Sheet, { creditMicro, ppnBasisPoints, ppnMicro }: Invoice): void {
  const amount = printRupiah(creditMicro);
  sheet.table(
    [
      { title: { id: "Uraian", en: "Description" }, share: 0.7, align: "left" },
      { title: { id: "Jumlah", en: "Amount" }, share: 0.3, align: "right" },
    ],
    [[{ id: "Isi ulang kredit API Epithre, prabayar", en: "Top-up of Epithre API credit, prepaid" }, amount]],
  );
  const percent = percentOf(ppnBasisPoints);
  sheet.sums([
    { label: { id: "Kredit", en: "Credit" }, value: amount },
    ...(ppnBasisPoints === 0
      ? []
      : [{ label: { id: `PPN ${percent.replace(".", ",")}%`, en: `VAT ${percent}%` }, value: printRupiah(ppnMicro) }]),
    { label: { id: "Total", en: "Total" }, value: printRupiah(creditMicro + ppnMicro), strong: true },
  ]);
}

function drawPayment(sheet: Sheet, invoice: Invoice, { payment }: InvoiceSettings): void {
  if (invoice.state === "cancelled") {
    sheet.note({ id: "Faktur ini dibatalkan. Jangan dibayar.", en: "This invoice is cancelled. Please do not pay it." });
    return;
  }
  if (invoice.state === "paid") {
    sheet.note({
      id: "Pembayaran sudah kami terima dan kreditnya sudah ditambahkan ke saldo akun. Terima kasih.",
      en: "We have received the payment and added the credit to the account's balance. Thank you.",
    });
    return;
  }
  const details = payment.detailsFor(invoiceNumber(invoice));
  sheet.box({ id: "Transfer bank", en: "Bank transfer" }, [
    { label: { id: "Bank", en: "Bank" }, value: details.bank },
    { label: { id: "Nomor rekening", en: "Account number" }, value: details.account_number },
    { label: { id: "Atas nama", en: "Account holder" }, value: details.account_holder },
    { label: { id: "Jumlah", en: "Amount" }, value: printRupiah(invoice.creditMicro + invoice.ppnMicro) },
    { label: { id: "Berita transfer", en: "Reference" }, value: details.reference },
  ]);
  sheet.note({
    id: "Transfer tepat sejumlah total di atas dengan nomor faktur sebagai berita. Saldo bertambah setelah transfer kami terima.",
    en: "Please transfer exactly the total above with the invoice's number as reference. The balance rises once we have it.",
  });
}
