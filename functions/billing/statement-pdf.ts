/** A statement as a document. Lines and sums are exact; rupiah are rounded once, from the exact sum, where they differ. */
import { microPerRupiah } from "#shared/money.ts";
import type { Document } from "./document.ts";
import { type InvoiceSettings, issuerOf } from "./invoices.ts";
import { boundsOf, dayMs } from "./month.ts";
import { type Column, createSheet, printDay, printRupiah, type Sum, type Words } from "./pdf.ts";
import type { BillingEvent } from "./queries.ts";
import type { BillingKind, BillingReason } from "./schema.ts";
import { creditedMicro, type Statement, statementName, usedMicro } from "./statement.ts";

const words = (id: string, en: string): Words => ({ id, en });

const kinds: Record<BillingKind, Words> = {
  top_up: words("Isi ulang", "Top-up"),
  refund: words("Pengembalian dana", "Refund"),
  signup_credit: words("Kredit pendaftaran", "Signup credit"),
  adjustment: words("Penyesuaian", "Adjustment"),
};

const reasons: Record<BillingReason, Words> = {
  bank_transfer: words("transfer bank", "bank transfer"),
  signup: words("pendaftaran", "signup"),
  refund_requested: words("atas permintaan", "as requested"),
  account_closing: words("penutupan akun", "account closing"),
  service_fault: words("gangguan layanan", "service fault"),
  goodwill: words("itikad baik", "goodwill"),
  correction: words("koreksi", "correction"),
};

const eventColumns: Column[] = [
  { title: words("Tanggal", "Date"), share: 0.25, align: "left" },
  { title: words("Peristiwa", "Billing event"), share: 0.45, align: "left" },
  { title: words("Jumlah", "Amount"), share: 0.3, align: "right" },
];

const usageColumns: Column[] = [
  { title: words("Model", "Model"), share: 0.26, align: "left" },
  { title: words("Permintaan", "Requests"), share: 0.12, align: "right" },
  { title: words("Token masukan (cache)", "Input tokens (cached)"), share: 0.16, align: "right" },
  { title: words("Token keluaran (nalar)", "Output tokens (reasoning)"), share: 0.16, align: "right" },
  { title: words("Gambar", "Images"), share: 0.09, align: "right" },
  { title: words("Biaya", "Cost"), share: 0.21, align: "right" },
];

const none = words("tidak ada", "none");

/** It names the account by its id alone: a name can be corrected, and the same month is to give the same bytes. */
export async function statementPdf(statement: Statement, seller: InvoiceSettings["seller"]): Promise<Document> {
  const { accountId, month, openingMicro, events, usage, closingMicro } = statement;
  const { endMs } = boundsOf(month);
  const lastDay = printDay(new Date(endMs - dayMs));
  const sheet = await createSheet({
    title: words("Laporan bulanan", "Monthly statement"),
    reference: month,
    issuer: issuerOf(seller),
    // The same whenever it is made.
    madeAt: new Date(endMs),
  });
  sheet.facts([
    { label: words("Periode, WIB", "Period, UTC+7"), value: words(`1 - ${lastDay.id}`, `1 - ${lastDay.en}`) },
    { label: words("Akun", "Account"), value: accountId },
    { label: words("Saldo awal", "Opening balance"), value: exact(openingMicro) },
    { label: words("Saldo akhir", "Closing balance"), value: exact(closingMicro) },
  ]);
  sheet.table(eventColumns, events.length > 0 ? events.map(eventRow) : [["", none, ""]]);
  sheet.table(
    usageColumns,
    usage.length > 0
      ? usage.map((row) => [
          row.model, count(row.requests), count(row.promptTokens, row.cachedTokens),
          count(row.completionTokens, row.reasoningTokens), count(row.images), exact(row.costMicro),
        ])
      : [[none, "", "", "", "", ""]],
  );
  const used = usedMicro(usage);
  sheet.sums([
    { label: words("Saldo awal", "Opening balance"), value: exact(openingMicro) },
    { label: words("Peristiwa", "Billing events"), value: exact(creditedMicro(events)) },
    { label: words("Pemakaian", "Usage"), value: exact(-used) },
    { label: words("Saldo akhir", "Closing balance"), value: exact(closingMicro), strong: true },
    ...rounded(words("Pemakaian, dibulatkan", "Usage, rounded"), used),
    ...rounded(words("Saldo akhir, dibulatkan", "Closing balance, rounded"), closingMicro),
  ]);
  sheet.note(
    words(
      "Bulan dihitung menurut waktu Jakarta (WIB, UTC+7); sebuah permintaan termasuk bulan saat dimulai. Jumlah tepat sampai sepersejuta rupiah; pembulatan ke rupiah utuh dilakukan sekali, dari jumlah yang tepat.",
      "Months are counted in Jakarta's time (WIB, UTC+7); a request belongs to the month in which it began. Amounts are exact to a millionth of a rupiah; whole rupiah are rounded once, from the exact sum.",
    ),
  );
  return { filename: `${statementName(month)}.pdf`, contentType: "application/pdf", bytes: await sheet.bytes() };
}

function eventRow({ at, kind, reason, amountMicro }: BillingEvent): (string | Words)[] {
  const what = words(`${kinds[kind].id} (${reasons[reason].id})`, `${kinds[kind].en} (${reasons[reason].en})`);
  return [printDay(at), what, exact(amountMicro)];
}

/** All that there is behind the point, and nothing where there is nothing. */
function exact(micro: bigint): string {
  return micro % BigInt(microPerRupiah) === 0n ? printRupiah(micro) : printRupiah(micro, 6);
}

function rounded(label: Words, micro: bigint): Sum[] {
  return micro % BigInt(microPerRupiah) === 0n ? [] : [{ label, value: printRupiah(micro) }];
}

/** `1.234`, or `1.234 (567)` with the part of it in brackets. */
function count(all: bigint, part = 0n): string {
  const format = new Intl.NumberFormat("id-ID");
  return part === 0n ? format.format(all) : `${format.format(all)} (${format.format(part)})`;
}
