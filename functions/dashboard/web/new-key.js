/** A new API key: asking for it with all that it may have, and showing it the one time that anybody can. */
import { read } from "./api.js";
import { copy } from "./copy.js";
import { startForm } from "./form.js";
import { checkBoxes, checkBudget, checkedIn, fieldDay, limitsOf } from "./key-fields.js";
import { announce, byId } from "./page.js";
import { runTask } from "./task.js";
import { t } from "./text.js";

/** As the API names them; the first ones are what most keys are for. */
const scopes = ["chat", "embeddings", "images", "models", "usage", "billing"];
const usualScopes = ["chat", "models"];

/** The key in the clear, until it is closed or the page goes. */
let fresh = null;
let onShown = () => {};

/** `made()` runs with each new key, `shown(key)` with the one in sight or null, `open(key)` when it is to be used here. */
export function startNewKey({ made, shown, open }) {
  onShown = shown;
  startForm("newkey", {
    busy: "newkey.busy",
    work: async (values) => {
      showNewKey(await read("/v1/account/keys", { body: wantedOf(values) }));
    },
    after: () => {
      byId("newkey-form").reset();
      byId("newkey-details").open = false;
      made();
    },
  });
  byId("fresh-copy").addEventListener("click", ({ currentTarget }) => copy(fresh.key, byId("fresh-key"), currentTarget));
  byId("fresh-use").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("key.opening"), errorId: "fresh-error" }, () => open(fresh.key)),
  );
  byId("fresh-close").addEventListener("click", () => {
    forgetNewKey();
    byId("own-keys-title").focus();
  });
  addEventListener("pagehide", forgetNewKey);
  byId("newkey-expires").min = fieldDay(Date.now());
  byId("newkey-form").addEventListener("input", check);
  byId("newkey-form").addEventListener("reset", () => setTimeout(check));
}

const wantedOf = ({ name, ...limits }) => ({ name, scopes: checkedIn("newkey-scopes"), ...limitsOf(limits, checkedIn("newkey-models")) });

export function showNewKey(key) {
  fresh = key;
  draw();
  announce(t("fresh.made"));
  byId("fresh-title").focus();
}

export function forgetNewKey() {
  fresh = null;
  draw();
}

function draw() {
  byId("fresh").hidden = !fresh;
  byId("fresh-key").textContent = fresh?.key ?? "";
  byId("fresh-title").textContent = fresh ? t("fresh.title", { name: fresh.name }) : "";
  byId("fresh-use").hidden = !fresh?.scopes.includes("chat");
  onShown(fresh?.key ?? null);
}

/** Draws it again in another language, and with the models on offer: `{ id }` each. */
export function showNewKeyForm(models) {
  if (byId("newkey-scopes").childElementCount === 0) byId("newkey-scopes").append(...checkBoxes(scopes, () => "", usualScopes));
  for (const label of byId("newkey-scopes").children) label.lastChild.textContent = t(`scope.${label.firstChild.value}`);
  const known = [...byId("newkey-models").querySelectorAll("input")].map(({ value }) => value);
  const ids = models.map(({ id }) => id);
  if (ids.join() !== known.join()) byId("newkey-models").replaceChildren(...checkBoxes(ids, (id) => id, []));
  check();
  draw();
}

/** What the browser's own checks do not know. They take no group, so the first box speaks for all. */
function check() {
  const boxes = [...byId("newkey-scopes").querySelectorAll("input")];
  boxes[0].setCustomValidity(boxes.some(({ checked }) => checked) ? "" : t("newkey.scopes.none"));
  checkBudget(byId("newkey-budget"));
}
