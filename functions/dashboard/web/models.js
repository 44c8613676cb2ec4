/** Models and prices, as GET /v1/models gives them to the opened key. */
import { explain, isAbort, read } from "./api.js";
import { byId, el, showError, table } from "./page.js";
import { has, number, rupiah, t } from "./text.js";

let models = null;

/** The models that the key may use; none, with the reason shown, when the API refuses. */
export async function loadModels() {
  try {
    models = (await read("/v1/models")).data;
    showError("models-error", undefined);
  } catch (error) {
    if (isAbort(error)) return [];
    showError("models-error", explain(error));
    byId("models-empty").hidden = true;
    return [];
  }
  showModels();
  return models;
}

export function forgetModels() {
  models = null;
  showError("models-error", undefined);
  showModels();
}

/** Draws the table again: after new data, or in another language. */
export function showModels() {
  const any = models !== null && models.length > 0;
  byId("models-empty").hidden = any;
  byId("models-empty").textContent = t(models === null ? "models.empty" : "models.none");
  byId("models-table").hidden = !any;
  byId("models-table").replaceChildren(...(any ? [modelTable()] : []));
}

function modelTable() {
  const columns = [
    { title: t("models.model") },
    { title: t("models.context"), number: true },
    { title: t("models.output.max"), number: true },
    { title: t("models.input"), number: true },
    { title: t("models.cached"), number: true },
    { title: t("models.output"), number: true },
    { title: t("models.image"), number: true },
  ];
  const rows = models.map(({ id, kind, context_length: context, max_output_tokens: outputMax, pricing }) => [
    [el("code", { translate: "no" }, id), el("span", { class: "under" }, has(`kind.${kind}`) ? t(`kind.${kind}`) : kind)],
    amount(context, number),
    amount(outputMax, number),
    amount(pricing.input_per_million_tokens, rupiah),
    amount(pricing.cached_input_per_million_tokens, rupiah),
    amount(pricing.output_per_million_tokens, rupiah),
    amount(pricing.per_image, rupiah),
  ]);
  return table(t("models.title"), columns, rows);
}

/** A price or length of 0 means that the model has no such thing. */
function amount(value, format) {
  if (value) return format(value);
  return [el("span", { "aria-hidden": "true", class: "none" }, "–"), el("span", { class: "unseen" }, t("models.not"))];
}
