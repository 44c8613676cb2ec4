/** Quick start: the lines to paste, with this page's own base URL and a model of the opened key. */
import { copy } from "./copy.js";
import { modelsOnOffer } from "./models.js";
import { byId } from "./page.js";
import { t } from "./text.js";

let modelId = null;
let key = null;

export function startQuickStart() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => byId(tab.getAttribute("aria-controls"));
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panelOf(tab).hidden = tab !== chosen;
    }
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const next = { ArrowRight: (index + 1) % tabs.length, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      select(tabs.at(next));
      tabs.at(next).focus();
    });
  });
  select(tabs[0]);

  byId("code-copy").addEventListener("click", ({ currentTarget: button }) => {
    const code = panelOf(tabs.find((tab) => tab.tabIndex === 0)).querySelector("code");
    copy(code.textContent, code, button);
  });
}

/** A key that was just made stands in the lines while it is in sight; null takes it away. */
export function showQuickStartKey(fresh) {
  key = fresh;
  showQuickStart();
}

/** `id` is a model that the key may use for chat, or null while no key is open: then it is one on offer. */
export function showQuickStart(id = modelId) {
  modelId = id;
  const shown = modelId ?? modelsOnOffer().find(({ kind }) => kind === "chat")?.id ?? t("start.model");
  for (const slot of document.querySelectorAll("[data-fill=base]")) slot.textContent = `${location.origin}/v1`;
  for (const slot of document.querySelectorAll("[data-fill=model]")) slot.textContent = shown;
  for (const slot of document.querySelectorAll("[data-fill=key]")) slot.textContent = key ?? "ep_…";
}
