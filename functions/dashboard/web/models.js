/** Models and prices: the public price list, or with a key those that it may use. */
import { explain, isAbort, read } from "./api.js";
import { byId, el, showError, table } from "./page.js";
import { date, has, number, rupiah, t } from "./text.js";

/** GET /v1/prices, and GET /v1/models of the opened key; `null` while unknown. */
let prices = null;
let models = null;

/** The price list for everybody. */
export async function loadPrices() {
  await load(async () => (prices = (await read("/v1/prices")).data));
}

/** The models that the key may use; none, with the reason shown, when the API refuses. */
export async function loadModels() {
  await load(async () => (models = (await read("/v1/models")).data));
  return models ?? [];
}

async function load(work) {
  try {
    await work();
    showError("models-error", undefined);
  } catch (error) {
    if (!isAbort(error)) showError("models-error", explain(error));
  }
  showModels();
}

/** All models on offer, by the public list. */
export const modelsOnOffer = () => prices ?? [];

export function forgetModels() {
  models = null;
  showError("models-error", undefined);
  showModels();
  // Opening a key ended the call for them, where it was still on its way.
  if (!prices) void loadPrices();
}

/** Draws the table again: after new data, or in another language. */
export function showModels() {
  const shown = models ?? prices;
  const any = shown !== null && shown.length > 0;
  byId("models-empty").hidden = any || !byId("models-error").hidden;
  byId("models-empty").textContent = t(models ? "models.none" : prices ? "models.nothing" : "models.empty");
  byId("models-table").hidden = !any;
  byId("models-table").replaceChildren(...(any ? [modelTable(shown)] : []));
}

function modelTable(shown) {
  const columns = [
    { title: t("models.model") },
    { title: t("models.context"), number: true },
    { title: t("models.output.max"), number: true },
    { title: t("models.input"), number: true },
    { title: t("models.cached"), number: true },
    { title: t("models.output"), number: true },
    { title: t("models.image"), number: true },
  ];
  const rows = shown.map((model) => [
    [
      el("code", { translate: "no" }, model.id),
      under(has(`kind.${model.kind}`) ? t(`kind.${model.kind}`) : model.kind),
      ...(model.retirement ? [under(t("models.retires", { date: date(model.retirement.retires_at) }), "warning")] : []),
    ],
    amount(model.context_length, number),
    amount(model.max_output_tokens, number),
    price(model, "input_per_million_tokens"),
    price(model, "cached_input_per_million_tokens"),
    price(model, "output_per_million_tokens"),
    price(model, "per_image", (model.pricing?.images ?? []).map(imageLine)),
  ]);
  return table(t("models.title"), columns, rows);
}

/** What it is now, and what it will be where that is set already: one block, since a card puts it beside its label. */
function price({ pricing, future_pricing: future }, part, lines = []) {
  const changes = future.filter((next, index) => next[part] !== (future[index - 1] ?? pricing)?.[part]);
  const later = changes.map((next) => under(t("models.from", { amount: rupiah(next[part]), date: date(next.effective_at) })));
  return el("div", {}, ...amount(pricing?.[part], rupiah), ...lines, ...later);
}

function imageLine({ size, quality, per_image: amountOfOne }) {
  // One line: its spaces do not break.
  return under([size, quality, rupiah(amountOfOne)].filter(Boolean).join("\u00a0"));
}

function under(text, kind) {
  return el("span", { class: kind ? `under ${kind}` : "under" }, text);
}

/** A price or length of 0 means that the model has no such thing. */
function amount(value, format) {
  if (value) return [format(value)];
  return [el("span", { "aria-hidden": "true", class: "none" }, "–"), el("span", { class: "unseen" }, t("models.not"))];
}
