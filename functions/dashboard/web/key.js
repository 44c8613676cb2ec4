/** The key panel: what GET /v1/key says, usage as CSV, and forgetting the key. */
import { heldOf } from "./amount.js";
import { explain, read, setKey } from "./api.js";
import { announce, byId, el, isBusy, showError, whileBusy } from "./page.js";
import { runTask, save } from "./task.js";
import { date, has, number, rupiah, rupiahParts, t } from "./text.js";

/** `ep_`, 40 random characters, 6 of checksum. */
const keyShape = /^ep_[0-9A-Za-z]{46}$/;
/** Characters of the key that the panel shows: the prefix that is stored with its hash. */
const prefixLength = 12;

let facts = null;

/** `onOpen(facts)` runs once a key was accepted, `onForget()` when it is gone. */
export function startKeyPanel({ onOpen, onForget }) {
  const input = byId("key-input");
  const openButton = byId("key-open");

  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (isBusy(openButton)) return;
    if (!keyShape.test(key)) return refuse(t("key.malformed"));
    setKey(key);
    try {
      facts = await whileBusy(openButton, t("key.opening"), () => read("/v1/key"));
    } catch (error) {
      setKey("");
      return refuse(explain(error));
    }
    input.value = "";
    refuse(undefined);
    byId("key-prefix").textContent = `${key.slice(0, prefixLength)}…`;
    showKey();
    announce(t("key.opened"));
    byId("key-title").focus();
    onOpen(facts);
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
    forget();
    announce(t("key.forgotten"));
    input.focus();
  });
  // A page kept for the back button would keep the key with it.
  addEventListener("pagehide", forget);

  function forget() {
    facts = null;
    setKey("");
    input.value = "";
    byId("key-prefix").textContent = "";
    showKey();
    onForget();
  }

  function refuse(text) {
    showError("key-error", text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
    if (text) input.focus();
  }
}

/** Reads the key's facts again, such as the balance after an answer. Throws ApiError. */
export async function refreshKey() {
  const fresh = await read("/v1/key");
  if (!facts) return;
  facts = fresh;
  showKey();
}

/** Draws the panel again: after new facts, or in another language. */
export function showKey() {
  byId("key-form").hidden = facts !== null;
  byId("key-panel").hidden = facts === null;
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
  const names = facts.scopes.map((scope) => (has(`scope.${scope}`) ? t(`scope.${scope}`) : scope));
  byId("scopes").replaceChildren(...names.map((name) => el("li", {}, name)));
}
