/** A transfer has come in at the bank: find its invoice, and confirm it. */
import { accountLink } from "./accounts.js";
import { ask } from "./api.js";
import { badge, el, field, form, heading, input, mono, note, table } from "./dom.js";
import { time } from "./format.js";

const tones = { paid: "good", open: "warn" };
const queryOf = (text) => (/^INV-/i.test(text) ? { number: text.toUpperCase() } : { accountId: text.toLowerCase() });

export async function transfersPage(accountId) {
  const results = el("div", {});
  const show = async (query) => {
    const { invoices } = await ask("/invoices/find", query);
    results.replaceChildren(
      table(
        "Invoices found",
        ["Invoice", "Account", "State", "Due (UTC)", { title: "Total, Rp", number: true }, "Transfer"],
        invoices.map((invoice) => [
          mono(invoice.number), accountLink(invoice.accountId, invoice.accountId.slice(0, 8)), badge(invoice.state, tones[invoice.state]), time(invoice.dueAt),
          invoice.totalRupiah.toLocaleString("en"), invoice.state === "open" ? confirmForm(invoice, () => show(query)) : invoice.paidAt && `came in ${time(invoice.paidAt)}`,
        ]),
        "No invoice fits.",
      ),
    );
    return `${invoices.length} found`;
  };
  if (accountId) await show({ accountId });
  return [
    heading("Transfers"),
    note("The payer writes the number of the invoice into the transfer. Confirmed, the balance rises and the receipt goes out. Finding one is noted in the audit log."),
    form(
      [field("Number of the invoice, or account id", input("query", { required: true, maxlength: 40, value: accountId, placeholder: "INV-2026-000123" }))],
      "Find",
      ({ query }) => show(queryOf(query.trim())),
    ),
    results,
  ];
}

function confirmForm({ id: invoiceId, number, totalRupiah }, reload) {
  return form(
    [field("Received, Rp", input("received", { required: true, inputmode: "numeric", pattern: "[\\d,]{1,13}", maxlength: 13 }))],
    "Confirm",
    async ({ received }) => {
      await ask("/invoices/confirm", { invoiceId, receivedRupiah: Number(received.replaceAll(",", "")) });
      await reload();
      return `${number} is paid`;
    },
    { danger: `${number} is for Rp ${totalRupiah.toLocaleString("en")}. Look at the bank's statement once more: the balance rises at once.`, inline: true },
  );
}
