/** One dialog that asks before something that cannot be taken back. */
import { byId, el } from "./page.js";
import { t } from "./text.js";

/**
 * Resolves with `true`, or what was chosen among `choices` (`{ value, text }`), once the person says yes; otherwise with
 * undefined. `confirm` is the word of the button; `isGrave` colours it.
 */
export function ask({ title, text, confirm, isGrave = true, choices }) {
  const dialog = byId("ask-dialog");
  const select = byId("ask-choice");
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-confirm").textContent = confirm;
  byId("ask-confirm").className = isGrave ? "danger" : "primary";
  byId("ask-choices").hidden = !choices;
  select.replaceChildren(...(choices ?? []).map((choice) => el("option", { value: choice.value, selected: choice.isUsual }, choice.text)));
  byId("ask-keep").textContent = t("ask.keep");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? (choices ? select.value : true) : undefined), { once: true }),
  );
}

export function startAsking() {
  byId("ask-keep").addEventListener("click", () => byId("ask-dialog").close(""));
  byId("ask-confirm").addEventListener("click", () => byId("ask-dialog").close("yes"));
}

/** As when the person says no. */
export const stopAsking = () => byId("ask-dialog").close("");
