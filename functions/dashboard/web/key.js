/** The key panel: what GET /v1/key says, usage as CSV, and forgetting the key. */
import { heldOf } from "./amount.js";
import { explain, read, setKey } from "./api.js";
import { announce, byId, el, isBusy, showError, whileBusy } from "./page.js";
import { session } from "./session.js";
import { runTask, save } from "./task.js";
import { date, has, number, rupiah, rupiahParts, t } from "./text.js";

/** `ep_`, 40 random characters, 6 of checksum. */
const keyShape = /^ep_[0-9A-Za-z]{46}$/;
/** Characters of the key that the panel shows: the prefix that is stored with its hash. */
const prefixLength = 12;

let facts = null;
let opened = () => {};
let forgotten = () => {};

/** `onOpen(facts)` runs once a key was accepted, `onForget()` when it is gone. */
export function startKeyPanel({ onOpen, onForget }) {
  opened = onOpen;
  forgotten = onForget;
  const input = byId("key-input");
  const openButton = byId("key-open");

  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (isBusy(openButton)) return;
    if (!keyShape.test(key)) return refuse(t("key.malformed"));
    try {
      await whileBusy(openButton, t("key.opening"), () => openKey(key));
    } catch (error) {
      return refuse(explain(error));
    }
    refuse(undefined);
    byId("key-used").focus();
  });

  byId("key-refresh").addEventListener("click", ({ currentTarget: button }) =>
    runTask(button, { busy: t("key.refreshing"), done: t("key.refreshed"), errorId: "panel-error" }, refreshKey),
  );
  byId("usage-download").addEventListener("click", ({ currentTarget: button }) =>
    runTask(button, { busy: t("download.busy"), done: t("download.done"), errorId: "panel-error" }, () =>
      save("/v1/usage.csv", "text/csv", `epithre-usage-${new Date().toISOString().slice(0, 10)}.csv`),
    ),
  );
  byId("key-forget").addEventListener("click", () => {
    forgetKey();
    announce(t("key.forgotten"));
    input.focus();
  });
  // A page kept for the back button would keep the key with it.
  addEventListener("pagehide", forgetKey);

  function refuse(text) {
    showError("key-error", text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
    if (text) input.focus();
  }
}

/** Uses the key from now on. Throws ApiError; no key is open then. */
export async function openKey(key) {
  forgetKey();
  setKey(key);
  try {
    facts = await read("/v1/key");
  } catch (error) {
    setKey("");
    throw error;
  }
  byId("key-input").value = "";
  byId("key-prefix").textContent = `${key.slice(0, prefixLength)}…`;
  showKey();
  announce(t("key.opened"));
  opened(facts);
}

export function forgetKey() {
  const hadKey = facts !== null;
  facts = null;
  setKey("");
  byId("key-input").value = "";
  byId("key-prefix").textContent = "";
  showKey();
  if (hadKey) forgotten();
}

/** Forgets the key if it is the one of this prefix. */
export function forgetKeyOf(prefix) {
  if (byId("key-prefix").textContent === `${prefix}…`) forgetKey();
}

/** Reads the key's facts again, such as the balance after an answer. Throws ApiError. */
export async function refreshKey() {
  if (!facts) return;
  const fresh = await read("/v1/key");
  if (!facts) return;
  facts = fresh;
  showKey();
}

/** Draws the panel again: after new facts, or in another language. */
export function showKey() {
  byId("key-form").hidden = facts !== null;
  byId("key-panel").hidden = facts === null;
  // The account's own balance is shown where there is a session.
  for (const id of ["key-balance", "usage-download"]) byId(id).hidden = Boolean(session());
  byId("key-hint").textContent = t(session() ? "key.hint.session" : "key.hint");
  if (!facts) return;
  const { balance, limits } = facts;
  const [whole, fraction] = rupiahParts(balance.amount);
  byId("balance").replaceChildren(whole, el("small", {}, fraction));
  byId("available").textContent =
    balance.available === balance.amount
      ? t("key.available.all")
      : t("key.available", { amount: rupiah(balance.available, 2), held: rupiah(heldOf(balance), 2) });
  byId("key-topup").hidden = !facts.scopes.includes("billing");
  const limit = (value) => (value === null || value === undefined ? t("key.unlimited") : number(value));
  byId("requests-per-minute").textContent = limit(limits.requests_per_minute);
  byId("tokens-per-minute").textContent = limit(limits.tokens_per_minute);
  byId("expires").textContent = facts.expires_at ? date(facts.expires_at) : t("key.never");
  byId("key-models").textContent = facts.models ? facts.models.join(", ") : t("key.models.all");
  showBudget(facts.budget);
  const names = facts.scopes.map((scope) => (has(`scope.${scope}`) ? t(`scope.${scope}`) : scope));
  byId("scopes").replaceChildren(...names.map((name) => el("li", {}, name)));
}

/** What is left of the month's budget: of a key that has one. */
function showBudget(budget) {
  byId("key-budget-row").hidden = !budget;
  if (!budget) return;
  const meter = byId("key-budget-meter");
  meter.max = Number(budget.amount);
  meter.value = Number(budget.spent);
  byId("key-budget").textContent = t("key.budget.spent", {
    spent: rupiah(budget.spent, 2), amount: rupiah(budget.amount), date: date(budget.renews_at),
  });
}
