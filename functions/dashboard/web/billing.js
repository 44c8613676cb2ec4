/** The billing section: top-ups, invoices, statements and the alert, for a key that may use them. */
import { forgetAlert, openAlert, showAlert, startAlert } from "./alert.js";
import { explain, isAbort } from "./api.js";
import { addInvoice, forgetInvoices, loadInvoices, showInvoices, startInvoices } from "./invoices.js";
import { byId, showError } from "./page.js";
import { forgetStatements, openStatements, showStatements } from "./statements.js";
import { forgetRequests, forgetTopUp, openTopUp, showTopUp, startTopUp } from "./topup.js";
import { t } from "./text.js";

/** Whether the opened key has the scope; null while none is open. */
let mayBill = null;

/** `onRefresh()` reads the balance again. */
export function startBilling({ onRefresh }) {
  startTopUp({ onMade: addInvoice, onUnknown: () => show("invoices-error", loadInvoices) });
  startInvoices({ onRefresh: () => Promise.all([onRefresh(), openTopUp()]), onCancelled: forgetRequests });
  startAlert();
}

/** Each part loads by itself: one that fails says so in its place. */
export async function openBilling({ scopes }) {
  mayBill = scopes.includes("billing");
  showBilling();
  if (!mayBill) return;
  await Promise.all([
    show("topup-error", openTopUp),
    show("invoices-error", loadInvoices),
    show("statements-error", openStatements),
    show("alert-error", openAlert),
  ]);
}

async function show(errorId, load) {
  try {
    await load();
    showError(errorId, undefined);
  } catch (error) {
    if (!isAbort(error)) showError(errorId, explain(error));
  }
}

export function forgetBilling() {
  mayBill = null;
  forgetTopUp();
  forgetInvoices();
  forgetStatements();
  forgetAlert();
  for (const part of ["invoices", "statements"]) showError(`${part}-error`, undefined);
  showBilling();
}

/** Draws the section again: for another key, or in another language. */
export function showBilling() {
  byId("billing-panel").hidden = !mayBill;
  byId("billing-empty").hidden = mayBill === true;
  byId("billing-empty").textContent = t(mayBill === false ? "billing.refused" : "billing.empty");
  showTopUp();
  showInvoices();
  showStatements();
  showAlert();
}
