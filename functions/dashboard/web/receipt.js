/** One call as it is kept, with the receipt that proves it: shown in a dialog. */
import { explain, isAbort, read } from "./api.js";
import { byId, el, showError } from "./page.js";
import { runTask, save } from "./task.js";
import { t } from "./text.js";

/** What the dialog is about; null while it is closed. */
let id = null;

export function startReceipts() {
  byId("receipt-close").addEventListener("click", closeReceipt);
  byId("receipt-dialog").addEventListener("close", () => {
    id = null;
    show(null);
  });
  byId("receipt-save").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("download.busy"), done: t("download.done"), errorId: "receipt-error" }, () => save(`/v1/usage/${id}`, "application/json", `epithre-${id}.json`)),
  );
}

export async function openReceipt(requestId) {
  id = requestId;
  showError("receipt-error", undefined);
  byId("receipt-dialog").showModal();
  try {
    const event = await read(`/v1/usage/${id}`);
    if (id === requestId) show(event);
  } catch (error) {
    if (id === requestId && !isAbort(error)) showError("receipt-error", explain(error));
  }
}

export const closeReceipt = () => byId("receipt-dialog").close();

/** All that is kept, by the names that the API and the CSV have for it. */
function show(event) {
  const { object: _, receipt = "", ...kept } = event ?? {};
  byId("receipt-facts").replaceChildren(
    ...Object.entries(kept).map(([name, value]) => el("div", {}, el("dt", { class: "code", translate: "no" }, name), el("dd", { translate: "no" }, String(value)))),
  );
  byId("receipt-signed").textContent = receipt;
}
