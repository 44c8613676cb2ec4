/** Asking for a top-up: the amount, what it will come to, and the invoice that the API makes of it. */
import { createRequestKeys, ppnOf, readRupiah } from "./amount.js";
import { explain, isAbort, read } from "./api.js";
import { announce, byId, isBusy, showError, whileBusy } from "./page.js";
import { number, rupiah, t } from "./text.js";

const requestKeys = createRequestKeys();
/** The least and the most of one top-up, its tax and its term; null until the API has said. */
let terms = null;

const presets = () => [...document.querySelectorAll("[data-rupiah]")];

/** `onMade(invoice)` runs with each invoice; `onUnknown()` when one may have been made without an answer. */
export function startTopUp({ onMade, onUnknown }) {
  const input = byId("topup-amount");
  for (const preset of presets()) {
    preset.addEventListener("click", () => {
      input.value = number(Number(preset.dataset.rupiah));
      refuse(undefined);
      showTopUp();
    });
  }
  input.addEventListener("input", showTopUp);
  input.addEventListener("change", () => {
    const amount = readRupiah(input.value);
    if (amount !== undefined) input.value = number(amount);
    refuse(input.value === "" ? undefined : problemWith(amount));
  });
  byId("topup-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const amount = readRupiah(input.value);
    if (isBusy(byId("topup-send"))) return;
    refuse(problemWith(amount));
    if (problemWith(amount)) return input.focus();
    await ask(amount, onMade, onUnknown);
  });
}

async function ask(amount, onMade, onUnknown) {
  let invoice;
  try {
    invoice = await whileBusy(byId("topup-send"), t("topup.making"), () =>
      read("/v1/billing/topups", { body: { amount_rupiah: amount }, headers: { "idempotency-key": requestKeys.keyFor(amount) } }),
    );
  } catch (error) {
    if (isAbort(error)) return;
    showError("topup-error", explain(error, "topup"));
    return onUnknown();
  }
  requestKeys.answered(amount);
  byId("topup-amount").value = "";
  showTopUp();
  announce(t("topup.made", { number: invoice.number }));
  onMade(invoice);
}

export async function openTopUp() {
  terms = await read("/v1/billing/topups");
  showTopUp();
}

/** What was cancelled is known: asking again means a new invoice. */
export const forgetRequests = () => requestKeys.clear();

export function forgetTopUp() {
  forgetRequests();
  terms = null;
  byId("topup-amount").value = "";
  refuse(undefined);
  showTopUp();
}

/** Draws the sum again: after another amount, new terms, or in another language. */
export function showTopUp() {
  const amount = readRupiah(byId("topup-amount").value);
  const isFit = amount !== undefined && !problemWith(amount);
  if (isFit) refuse(undefined);
  for (const preset of presets()) {
    const own = Number(preset.dataset.rupiah);
    preset.textContent = rupiah(own);
    preset.hidden = Boolean(problemWith(own));
    preset.setAttribute("aria-pressed", String(own === amount));
  }
  byId("topup-range").textContent = terms ? t("topup.range", range()) : "";
  byId("topup-term").textContent = terms ? t("topup.term", { days: number(terms.due_days) }) : "";
  const percent = Number(terms?.ppn_percent ?? 0);
  byId("topup-ppn-label").textContent = t("topup.ppn", { percent: number(percent) });
  byId("topup-ppn-row").hidden = percent === 0;
  // Without the terms the tax is not known, so neither is the total.
  const ppn = isFit && terms ? ppnOf(amount, terms.ppn_percent) : undefined;
  byId("topup-credit").textContent = isFit ? rupiah(amount) : "–";
  byId("topup-ppn").textContent = ppn === undefined ? "–" : rupiah(ppn);
  byId("topup-total").textContent = ppn === undefined ? "–" : rupiah(amount + ppn);
}

const range = () => ({ min: rupiah(terms.min_rupiah), max: rupiah(terms.max_rupiah) });

/** In words; undefined where the amount can be asked for. */
function problemWith(amount) {
  if (amount === undefined) return t("topup.malformed");
  if (terms && (amount < terms.min_rupiah || amount > terms.max_rupiah)) return t("topup.outside", range());
}

function refuse(text) {
  showError("topup-error", text);
  byId("topup-amount").setAttribute("aria-invalid", String(Boolean(text)));
}
