/** The models with their prices and health, and the engines behind them. */
import { ask } from "./api.js";
import { action, badge, el, field, form, heading, input, mono, note, section, select, table } from "./dom.js";
import { microOf, rupiah, time } from "./format.js";

export async function modelsPage(reload) {
  const { minutes, models, engines } = await ask("/models/list");
  const change = async (path, body) => {
    await ask(path, body);
    await reload();
    return "Done";
  };
  return [
    heading("Models"),
    table(
      "Models",
      ["Model", "State", "Price of a million tokens, or an image", { title: `Calls, ${minutes} min`, number: true }, { title: "Failed", number: true }, { title: "95 % within", number: true }, "Change"],
      models.map((model) => [
        mono(model.id), stateOf(model), el("ul", {}, model.prices.map((price) => el("li", {}, priceText(price)))),
        model.requests.toLocaleString("en"), model.failed.toLocaleString("en"), model.latencyMs === null ? null : `${model.latencyMs.toLocaleString("en")} ms`,
        model.enabled
          ? action("Switch off", () => change("/models/enable", { id: model.id, enabled: false }), { danger: `Calls of ${model.id} are refused within a second.` })
          : action("Switch on", () => change("/models/enable", { id: model.id, enabled: true })),
      ]),
      "There is no model yet.",
    ),
    section("Engines", note("Each is named by a digest of its address; reconcile asks them every 5 minutes."), table(
      "Engines",
      ["Engine", "Models", "Last answer (UTC)"],
      engines.map(({ backend, models: served, readAt }) => [mono(backend), served.join(", "), el("span", {}, time(readAt), " ", ageBadge(readAt))]),
      "No engine has told its counters yet.",
    )),
    ...(models.length === 0 ? [] : [section("New price", note("Prices are never changed: a new one takes the place of the one before, now or from a time on. Lines for sizes of images are set by the API."), priceForm(models, change))]),
    ...(models.length === 0 ? [] : [section("Announce a retirement", note("Its users of the last 90 days get a mail; the date is at least the notice ahead."), form(
      [field("Model", select("id", models.map(({ id }) => [id, id]))), field("Ends (UTC)", input("at", { type: "datetime-local", required: true }))],
      "Announce",
      ({ id, at }) => change("/models/retire", { id, retiresAtMs: Date.parse(`${at}Z`) }),
      { danger: "This goes out by mail.", inline: true },
    ))]),
  ];
}

function stateOf({ enabled, retiresAt }) {
  if (!enabled) return badge("off", "bad");
  return retiresAt ? badge(`ends ${time(retiresAt).slice(0, 10)}`, "warn") : badge("on", "good");
}

function ageBadge(readAt) {
  const minutes = Math.round((Date.now() - Date.parse(readAt)) / 60_000);
  return badge(`${minutes} min ago`, minutes <= 10 ? "good" : "bad");
}

/** Micro-rupiah for a token are rupiah for a million of them. */
function priceText({ effectiveAt, inputMicro, cachedInputMicro, outputMicro, imageMicro }) {
  const million = (micro) => rupiah(BigInt(micro) * 1_000_000n);
  const image = imageMicro > 0 ? `, image ${rupiah(imageMicro)}` : "";
  const from = Date.parse(effectiveAt) > Date.now() ? `from ${time(effectiveAt)}: ` : "";
  return `${from}in ${million(inputMicro)}, cached ${million(cachedInputMicro)}, out ${million(outputMicro)}${image}`;
}

function priceForm(models, change) {
  const amount = (name, label, value) => field(label, input(name, { required: true, inputmode: "numeric", pattern: "\\d{1,12}", value }));
  return form(
    [
      field("Model", select("model", models.map(({ id }) => [id, id]))),
      amount("inputMicro", "In, Rp a million"), amount("cachedInputMicro", "Cached in, Rp a million"), amount("outputMicro", "Out, Rp a million"),
      field("Image, Rp", input("image", { required: true, inputmode: "decimal", value: "0" })),
      field("From (UTC; empty: now)", input("at", { type: "datetime-local" })),
    ],
    "Set price",
    ({ model, inputMicro, cachedInputMicro, outputMicro, image, at }) => change("/prices", {
      model, inputMicro: Number(inputMicro), cachedInputMicro: Number(cachedInputMicro), outputMicro: Number(outputMicro), imageMicro: Number(microOf(image)),
      ...(at && { effectiveAtMs: Date.parse(`${at}Z`) }),
    }),
    { danger: "Calls that begin from its time on are charged by it.", inline: true },
  );
}
