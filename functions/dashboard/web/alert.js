/** The alert: below which balance the account gets a mail. */
import { readRupiah } from "./amount.js";
import { read } from "./api.js";
import { announce, byId, showError } from "./page.js";
import { runTask } from "./task.js";
import { number, rupiah, t } from "./text.js";

const path = "/v1/billing/alert";
/** Rupiah: the most that the API takes. */
const thresholdMax = 1_000_000_000;

/** Whole rupiah; null while it is off, undefined until it is known. */
let threshold;

export function startAlert() {
  const input = byId("alert-amount");
  byId("alert-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const amount = readRupiah(input.value);
    const isFit = amount >= 1 && amount <= thresholdMax;
    refuse(isFit ? undefined : t("alert.malformed", { max: rupiah(thresholdMax) }));
    if (isFit) await set(byId("alert-save"), amount);
    else input.focus();
  });
  byId("alert-off").addEventListener("click", async ({ currentTarget }) => {
    if (await set(currentTarget, null)) input.focus();
  });
}

/** True when the API has taken it. */
async function set(own, wanted) {
  const isSet = await runTask(own, { busy: t("alert.saving"), errorId: "alert-error" }, async () => {
    threshold = (await read(path, { method: "PUT", body: { threshold_rupiah: wanted } })).threshold_rupiah;
  });
  if (!isSet) return false;
  fill();
  announce(byId("alert-state").textContent);
  return true;
}

/** Throws ApiError. */
export async function openAlert() {
  threshold = (await read(path)).threshold_rupiah;
  fill();
}

export function forgetAlert() {
  threshold = undefined;
  fill();
}

/** Draws what is set again: in another language. */
export function showAlert() {
  byId("alert-off").hidden = typeof threshold !== "number";
  byId("alert-state").textContent =
    threshold === undefined ? "" : threshold === null ? t("alert.none") : t("alert.below", { amount: rupiah(threshold) });
}

function fill() {
  byId("alert-amount").value = typeof threshold === "number" ? number(threshold) : "";
  refuse(undefined);
  showAlert();
}

function refuse(text) {
  showError("alert-error", text);
  byId("alert-amount").setAttribute("aria-invalid", String(Boolean(text)));
}
