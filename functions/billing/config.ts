/** Everything that billing is configured by. */
import { z } from "zod";
import { type readConfig, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { edgeSecretName } from "#shared/flow.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { bankTransfer } from "./payments.ts";

/** Characters of a line on an invoice. */
const line = z.string().trim().min(1).max(200);

/** `11` or `2.5` percent -> basis points. */
const percent = z
  .string()
  .regex(/^\d{1,2}(\.\d{1,2})?$/, "must be a percentage such as 11 or 2.5")
  .transform((text) => Math.round(Number(text) * 100));

/** Rupiah; the largest in micro-rupiah, and its tax, stay below 2^53. */
const rupiah = z.coerce.number().int().min(1).max(1_000_000_000);

export const configShape = {
  databaseUrl: databaseUrl("billing"),
  keyAuthUrl: setting("key_auth_url", z.url()),
  keyAuthSecret: secret(edgeSecretName("billing", "key-auth")),
  proxySecret: secret(edgeSecretName("proxy", "billing")),
  notifySecret: secret(edgeSecretName("notify", "billing")),
  sellerName: setting("seller_name", line),
  sellerAddress: setting("seller_address", line),
  /** The tax number. */
  sellerNpwp: setting("seller_npwp", line),
  bankName: setting("bank_name", line),
  bankAccountNumber: setting("bank_account_number", line),
  bankAccountHolder: setting("bank_account_holder", line),
  /** Tax on top of the credit; 0 leaves the line out. */
  ppnBasisPoints: setting("ppn_percent", percent.default(1_100)),
  /** Of credit, before tax. */
  topUpMinRupiah: setting("topup_min_rupiah", rupiah.default(50_000)),
  topUpMaxRupiah: setting("topup_max_rupiah", rupiah.default(100_000_000)),
  invoiceDueDays: setting("invoice_due_days", z.coerce.number().int().min(1).max(60).default(14)),
  /** Milliseconds that a lease lives without being renewed: how long a killed proxy keeps its accounts' money. */
  leaseTtlMs: setting("lease_ttl_ms", z.coerce.number().int().min(100).max(600_000).default(20_000)),
};

export function invoiceSettings(config: ReturnType<typeof readConfig<typeof configShape>>): InvoiceSettings {
  const { topUpMinRupiah: minRupiah, topUpMaxRupiah: maxRupiah } = config;
  if (minRupiah > maxRupiah) throw new Error("Cannot start: setting topup_min_rupiah is above topup_max_rupiah");
  return {
    seller: { name: config.sellerName, address: config.sellerAddress, npwp: config.sellerNpwp },
    payment: bankTransfer({ bank: config.bankName, accountNumber: config.bankAccountNumber, accountHolder: config.bankAccountHolder }),
    ppnBasisPoints: config.ppnBasisPoints,
    minRupiah,
    maxRupiah,
    dueDays: config.invoiceDueDays,
  };
}
