/** What the forms of a new key and of a key that changes have in common: models, the last day, and limits. */
import { readRupiah } from "./amount.js";
import { byId, el } from "./page.js";
import { t } from "./text.js";

export const checkedIn = (id) => [...byId(id).querySelectorAll(":checked")].map(({ value }) => value);

/** Boxes with a label each. */
export function checkBoxes(values, textOf, checked) {
  return values.map((value) =>
    el(
      "label",
      { class: "check" },
      el("input", { type: "checkbox", value, checked: checked.includes(value), autocomplete: "off" }),
      el("span", {}, textOf(value)),
    ),
  );
}

/** As the API takes them; what was not filled in, and no model at all, is not limited (null). */
export function limitsOf({ expires, requests, tokens, budget }, models) {
  return {
    models: models.length > 0 ? models : null,
    expires_at: expires ? new Date(`${expires}T23:59:59`).toISOString() : null,
    requests_per_minute: requests ? Number(requests) : null,
    tokens_per_minute: tokens ? Number(tokens) : null,
    monthly_budget_rupiah: budget ? readRupiah(budget) : null,
  };
}

/** A day as a field of days takes it, which Swedes write so; the day is the reader's own. */
export const fieldDay = (time) => new Date(time).toLocaleDateString("sv");

/** What the browser's own checks do not know. */
export function checkBudget(field) {
  field.setCustomValidity(field.value && readRupiah(field.value) === undefined ? t("topup.malformed") : "");
}
