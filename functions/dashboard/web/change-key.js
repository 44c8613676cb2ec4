/** Changing a key in place: its name, models, last day and limits. What it may be used for stays as it was made. */
import { plainAmount } from "./amount.js";
import { read } from "./api.js";
import { clearForm, startForm } from "./form.js";
import { checkBoxes, checkBudget, checkedIn, fieldDay, limitsOf } from "./key-fields.js";
import { byId } from "./page.js";
import { t } from "./text.js";

/** The key that is changed, and what the form said when it opened: only what differs is sent. */
let changed = null;
let modelsOnOffer = () => [];

/** `done()` runs once a key was changed; `models()` are those on offer, `{ id }` each. */
export function startChangingKeys({ models, done }) {
  modelsOnOffer = models;
  const dialog = byId("changekey-dialog");
  startForm("changekey", {
    busy: "changekey.busy",
    done: "changekey.done",
    work: (values) => read(`/v1/account/keys/${changed.id}`, { method: "PATCH", body: differenceOf(values) }),
    after: () => dialog.close("changed"),
  });
  byId("changekey-keep").addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("close", () => {
    changed = null;
    clearForm("changekey");
    if (dialog.returnValue === "changed") done();
  });
  byId("changekey-budget").addEventListener("input", ({ target }) => checkBudget(target));
}

export function changeKey(key) {
  const field = (name, value) => (byId(`changekey-${name}`).value = value ?? "");
  byId("changekey-title").textContent = t("changekey.title", { name: key.name });
  field("name", key.name);
  field("expires", key.expires_at && fieldDay(key.expires_at));
  field("budget", key.monthly_budget_rupiah && plainAmount(key.monthly_budget_rupiah));
  field("requests", key.requests_per_minute);
  field("tokens", key.tokens_per_minute);
  byId("changekey-expires").min = fieldDay(Date.now());
  // A key may be for a model that is no longer on offer.
  const models = [...new Set([...modelsOnOffer().map(({ id }) => id), ...(key.models ?? [])])];
  byId("changekey-models").replaceChildren(...checkBoxes(models, (id) => id, key.models ?? []));
  checkBudget(byId("changekey-budget"));
  changed = { ...key, shown: wantedOf(Object.fromEntries(new FormData(byId("changekey-form")))) };
  byId("changekey-dialog").returnValue = "";
  byId("changekey-dialog").showModal();
}

export const stopChangingKeys = () => byId("changekey-dialog").close("");

const wantedOf = ({ name, ...limits }) => ({ name, ...limitsOf(limits, checkedIn("changekey-models")) });

function differenceOf(values) {
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  return Object.fromEntries(Object.entries(wantedOf(values)).filter(([field, value]) => !same(value, changed.shown[field])));
}
