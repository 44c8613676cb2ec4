/** The account's invoices: the list, how to pay one, its document, and cancelling one. */
import { plainAmount } from "./amount.js";
import { read } from "./api.js";
import { copy } from "./copy.js";
import { announce, byId, button, el, table, under } from "./page.js";
import { runTask, save } from "./task.js";
import { day, rupiah, t } from "./text.js";

/** Newest first; `nextCursor` is null once all are here. */
let invoices = [];
let nextCursor = null;
/** Ids of the one whose bank details are shown, and of the one that is being asked about. */
let payingId = null;
let cancellingId = null;

/** `onRefresh()` runs when the list is read again, `onCancelled()` after one was cancelled. */
export function startInvoices({ onRefresh, onCancelled }) {
  byId("invoices-refresh").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("key.refreshing"), done: t("key.refreshed"), errorId: "invoices-error" }, () =>
      Promise.all([loadInvoices(), onRefresh()]),
    ),
  );
  byId("invoices-more").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("invoices.loading"), errorId: "invoices-error" }, () => loadInvoices(nextCursor)),
  );
  byId("cancel-keep").addEventListener("click", () => byId("cancel-dialog").close());
  byId("cancel-confirm").addEventListener("click", ({ currentTarget }) => cancel(currentTarget, onCancelled));
}

/** The first page, or the one behind `cursor`. Throws ApiError. */
export async function loadInvoices(cursor = null) {
  const page = await read(cursor ? `/v1/billing/invoices?cursor=${encodeURIComponent(cursor)}` : "/v1/billing/invoices");
  invoices = cursor ? [...invoices, ...page.data] : page.data;
  nextCursor = page.next_cursor;
  showInvoices();
}

/** Puts a new invoice on top, with its bank details. */
export function addInvoice(invoice) {
  invoices = [invoice, ...invoices.filter(({ id }) => id !== invoice.id)];
  pay(invoice.id);
}

export function forgetInvoices() {
  invoices = [];
  nextCursor = payingId = cancellingId = null;
  byId("cancel-dialog").close();
  showInvoices();
}

/** Draws list and bank details again: after new data, or in another language. */
export function showInvoices() {
  const columns = [
    { title: t("invoices.number") },
    { title: t("invoices.state") },
    { title: t("invoices.total"), number: true },
    { title: t("invoices.actions"), buttons: true },
  ];
  const isEmpty = invoices.length === 0;
  byId("invoices-empty").hidden = !isEmpty;
  byId("invoices-table").hidden = isEmpty;
  byId("invoices-table").replaceChildren(...(isEmpty ? [] : [table(t("invoices.title"), columns, invoices.map(rowOf))]));
  byId("invoices-more").hidden = nextCursor === null;
  const paying = invoices.find(({ id, state }) => id === payingId && state === "open");
  byId("payment").hidden = !paying;
  byId("payment").replaceChildren(...(paying ? bankDetails(paying) : []));
}

const rowOf = (invoice) => [
  [el("span", { class: "code", translate: "no" }, invoice.number), under(day(invoice.issued_at))],
  el("div", {}, el("span", { class: `state ${stateOf(invoice)}` }, t(`invoices.${stateOf(invoice)}`)), ...moment(invoice)),
  el("div", {}, rupiah(invoice.total), under(t("invoices.credit", { amount: rupiah(invoice.credit) }))),
  el("div", {}, ...actionsOf(invoice)),
];

/** `open`, `overdue`, `paid` or `cancelled`: one that is late can still be paid. */
const stateOf = ({ state, due_at: dueAt }) => (state === "open" && Date.parse(dueAt) < Date.now() ? "overdue" : state);

function moment({ state, due_at: dueAt, paid_at: paidAt }) {
  if (state === "open") return [under(t("invoices.due", { date: day(dueAt) }))];
  return state === "paid" ? [under(day(paidAt))] : [];
}

function actionsOf(invoice) {
  const { id, number, state } = invoice;
  const named = (text) => `${text}: ${number}`;
  const document = state === "paid" ? t("invoices.receipt") : t("invoices.pdf");
  return [
    ...(state === "open" ? [button(t("invoices.pay"), () => pay(id), { "aria-label": named(t("invoices.pay")) })] : []),
    button(document, (own) => savePdf(own, invoice), { "aria-label": named(document) }),
    ...(state === "open" ? [button(t("invoices.cancel"), () => askCancel(invoice), { "aria-label": named(t("invoices.cancel")) })] : []),
  ];
}

function pay(id) {
  payingId = id;
  showInvoices();
  // A retry can meet an invoice that is paid meanwhile.
  (byId("payment-title") ?? byId("invoices-title")).focus();
}

function bankDetails(invoice) {
  const { bank, account_number: accountNumber, account_holder: accountHolder, reference } = invoice.payment;
  const close = button(t("payment.close"), () => {
    payingId = null;
    showInvoices();
    byId("invoices-title").focus();
  });
  return [
    el(
      "div",
      { class: "payment-head" },
      el("h3", { id: "payment-title", tabindex: "-1" }, t("payment.title", { total: rupiah(invoice.total) })),
      el("p", {}, t("payment.how", { date: day(invoice.due_at) })),
    ),
    el(
      "dl",
      { class: "copies" },
      copyRow(t("payment.total"), rupiah(invoice.total), plainAmount(invoice.total)),
      copyRow(t("payment.account"), accountNumber, accountNumber),
      copyRow(t("payment.reference"), reference, reference),
      copyRow(t("payment.bank"), bank),
      copyRow(t("payment.holder"), accountHolder),
    ),
    el(
      "div",
      { class: "actions" },
      button(t("payment.pdf"), (own) => savePdf(own, invoice)),
      button(t("payment.cancel"), () => askCancel(invoice)),
      close,
    ),
  ];
}

/** A fact to read or, with `copied`, to take along. */
function copyRow(label, shown, copied) {
  const text = el("span", { translate: "no" }, shown);
  const buttons = copied ? [button(t("copy"), (own) => copy(copied, text, own), { "aria-label": `${t("copy")}: ${label}` })] : [];
  return el("div", {}, el("dt", {}, label), el("dd", { class: copied && "exact" }, text, ...buttons));
}

function savePdf(own, { id, number }) {
  return runTask(own, { busy: t("download.busy"), done: t("download.done"), errorId: "invoices-error" }, () =>
    save(`/v1/billing/invoices/${id}.pdf`, "application/pdf", `${number}.pdf`),
  );
}

function askCancel({ id, number }) {
  cancellingId = id;
  byId("cancel-title").textContent = t("cancel.title", { number });
  byId("cancel-dialog").showModal();
}

async function cancel(own, onCancelled) {
  let cancelled;
  await runTask(own, { busy: t("cancel.busy"), errorId: "invoices-error", task: "cancel" }, async () => {
    cancelled = await read(`/v1/billing/invoices/${cancellingId}/cancel`, { method: "POST" });
  });
  byId("cancel-dialog").close();
  if (!cancelled) return;
  invoices = invoices.map((invoice) => (invoice.id === cancelled.id ? cancelled : invoice));
  showInvoices();
  announce(t("cancel.done", { number: cancelled.number }));
  byId("invoices-title").focus();
  onCancelled();
}
