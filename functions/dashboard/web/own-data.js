/** One's own data: a copy of all of it, the usage, and the end of the account. */
import { balanceNow } from "./account.js";
import { read } from "./api.js";
import { ask } from "./ask.js";
import { clearForm, startForm } from "./form.js";
import { byId, el } from "./page.js";
import { promiseText } from "./policy.js";
import { endSession, session } from "./session.js";
import { runTask, save } from "./task.js";
import { date, day, rupiah, t } from "./text.js";

/** Promises that say what stays of a deleted account. */
const staying = ["right.delete", "keep.billing", "keep.audit"];

/** The answer to a deletion; null until there was one. */
let deletion = null;

export function startOwnData() {
  const saving = (path, accept, name) => (event) =>
    runTask(event.currentTarget, { busy: t("download.busy"), done: t("download.done"), errorId: "data-error" }, () => save(path, accept, name));
  byId("data-copy").addEventListener("click", saving("/v1/account/data", "application/json", "epithre-account.json"));
  byId("data-usage").addEventListener("click", saving("/v1/usage.csv", "text/csv", `epithre-usage-${new Date().toISOString().slice(0, 10)}.csv`));
  startForm("delete", { busy: "delete.busy", work: remove });
}

async function remove({ password, forfeit }) {
  if (!(await ask({ title: t("delete.ask"), text: t("delete.ask.text"), confirm: t("delete.confirm") }))) return;
  deletion = await read("/v1/account/delete", { body: { password, forfeit_credit: forfeit === "on" } });
  endSession("deleted");
}

export function forgetOwnData() {
  clearForm("delete");
}

/** The outcome of a former account leaves with the next one. */
export function forgetDeletion() {
  deletion = null;
}

/** Draws it again: with a balance, or in another language. */
export function showOwnData() {
  byId("profile").hidden = !session();
  const credit = balanceNow();
  const hasCredit = Number(credit?.amount ?? 0) > 0;
  byId("forfeit-row").hidden = !hasCredit;
  byId("forfeit-text").textContent = hasCredit ? t("delete.forfeit", { amount: rupiah(credit.amount) }) : "";
  byId("delete-stays").replaceChildren(...staying.map((id) => el("li", {}, promiseText(id))));
  showDeletion();
}

function showDeletion() {
  byId("deleted").hidden = !deletion || Boolean(session());
  if (!deletion) return;
  byId("deleted-text").textContent = t("deleted.text", { until: date(deletion.cancel_until) });
  byId("deleted-erased").textContent = t("deleted.erased", { day: day(deletion.erased_everywhere_by) });
  byId("deleted-stays").replaceChildren(...deletion.stays.map(({ promise }) => el("li", {}, promiseText(promise))));
}
