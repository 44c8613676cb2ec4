/** How an invoice is paid. Another way (Midtrans) is another implementation of the interface. */

/** What the payer needs to know, in rupiah; as it stands in answers and on documents. */
export interface PaymentDetails {
  method: "bank_transfer";
  bank: string;
  account_number: string;
  account_holder: string;
  /** What the payer writes on the transfer: the invoice's number. */
  reference: string;
}

export interface PaymentMethod {
  /** How to pay the invoice of this number. */
  detailsFor(invoiceNumber: string): PaymentDetails;
}

export interface BankAccount {
  bank: string;
  accountNumber: string;
  accountHolder: string;
}

/** A transfer that the payer makes by hand and an operator confirms (`/invoices/confirm` of admin). */
export function bankTransfer({ bank, accountNumber, accountHolder }: BankAccount): PaymentMethod {
  return {
    detailsFor: (invoiceNumber) => ({
      method: "bank_transfer",
      bank,
      account_number: accountNumber,
      account_holder: accountHolder,
      reference: invoiceNumber,
    }),
  };
}
