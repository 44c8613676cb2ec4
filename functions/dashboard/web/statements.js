/** Monthly statements, as documents and as tables. */
import { read } from "./api.js";
import { byId, button, el } from "./page.js";
import { runTask, save } from "./task.js";
import { monthName, t } from "./text.js";

const kinds = [
  { extension: "pdf", accept: "application/pdf" },
  { extension: "csv", accept: "text/csv" },
];

/** Newest first, as `2026-11`; null until they are known. */
let months = null;

/** Throws ApiError. */
export async function openStatements() {
  months = (await read("/v1/billing/statements")).data.map(({ month }) => month);
  showStatements();
}

export function forgetStatements() {
  months = null;
  showStatements();
}

/** Draws the list again: after new data, or in another language. */
export function showStatements() {
  byId("statements-empty").hidden = months?.length !== 0;
  byId("statements-list").replaceChildren(...(months ?? []).map(monthRow));
}

function monthRow(month) {
  const buttons = kinds.map(({ extension, accept }) => {
    const name = extension.toUpperCase();
    const saving = { busy: t("download.busy"), done: t("download.done"), errorId: "statements-error" };
    return button(
      name,
      (own) => runTask(own, saving, () => save(`/v1/billing/statements/${month}.${extension}`, accept, `epithre-statement-${month}.${extension}`)),
      { "aria-label": `${name}: ${monthName(month)}` },
    );
  });
  return el("li", {}, el("span", {}, monthName(month)), ...buttons);
}
