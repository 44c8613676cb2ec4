/** The account's API keys: the list, changing one, rotating one, revoking one. */
import { ask } from "./ask.js";
import { read } from "./api.js";
import { changeKey } from "./change-key.js";
import { showNewKey } from "./new-key.js";
import { announce, byId, button, el, showError, table, under } from "./page.js";
import { session } from "./session.js";
import { runTask } from "./task.js";
import { date, has, number, rupiah, t } from "./text.js";

const path = "/v1/account/keys";
/** Hours that a rotated key can go on. */
const overlaps = [0, 1, 24, 168, 720];
const usualOverlap = 24;

/** GET /v1/account/keys; null until it is known. */
let keys = null;
/** Revoked and expired ones are kept a while, and shown on demand. */
let showsOld = false;
let onRevoked = () => {};

/** Those that work and those that did. */
export const ownKeys = () => keys ?? [];

/** `revoked(prefix)` runs once a key was revoked. */
export function startOwnKeys({ revoked }) {
  onRevoked = revoked;
  byId("own-keys-refresh").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("key.refreshing"), done: t("key.refreshed"), errorId: "own-keys-error" }, loadOwnKeys),
  );
  byId("own-keys-old").addEventListener("click", () => {
    showsOld = !showsOld;
    showOwnKeys();
  });
}

/** Throws ApiError. */
export async function loadOwnKeys() {
  keys = (await read(path)).data;
  showError("own-keys-error", undefined);
  showOwnKeys();
}

export function forgetOwnKeys() {
  keys = null;
  showsOld = false;
  showError("own-keys-error", undefined);
  showOwnKeys();
}

/** Draws the list again: after new data, or in another language. */
export function showOwnKeys() {
  byId("own-keys").hidden = !session();
  const old = (keys ?? []).filter(({ status }) => status !== "active");
  const shown = (keys ?? []).filter(({ status }) => showsOld || status === "active");
  const columns = [
    { title: t("keys.key") },
    { title: t("key.scopes") },
    { title: t("keys.limits") },
    { title: t("keys.used") },
    { title: t("invoices.actions"), buttons: true },
  ];
  byId("own-keys-empty").hidden = keys === null || shown.length > 0;
  byId("own-keys-table").hidden = shown.length === 0;
  byId("own-keys-table").replaceChildren(...(shown.length > 0 ? [table(t("key.title"), columns, shown.map(rowOf))] : []));
  byId("own-keys-old").hidden = old.length === 0;
  byId("own-keys-old").textContent = t(showsOld ? "keys.old.hide" : "keys.old.show", { count: number(old.length) });
}

function rowOf(key) {
  const names = key.scopes.map((scope) => (has(`scope.${scope}`) ? t(`scope.${scope}`) : scope));
  return [
    [el("span", { translate: "no" }, key.name), el("span", { class: "under code", translate: "no" }, `${key.prefix}…`), ...stateOf(key)],
    el("div", {}, names.join(", "), under(key.models ? key.models.join(", ") : t("keys.models.all"))),
    el("div", {}, ...limitsOf(key)),
    el("div", {}, key.last_used_at ? date(key.last_used_at) : t("keys.unused"), under(t("keys.made", { date: date(key.created_at) }))),
    el("div", {}, ...(key.status === "active" ? actionsOf(key) : [])),
  ];
}

function stateOf({ status }) {
  return status === "active" ? [] : [el("span", { class: `state ${status}` }, t(`keys.${status}`))];
}

function limitsOf(key) {
  const lines = [
    key.requests_per_minute !== null && t("keys.requests", { count: number(key.requests_per_minute) }),
    key.tokens_per_minute !== null && t("keys.tokens", { count: number(key.tokens_per_minute) }),
    key.monthly_budget_rupiah !== null && t("keys.budget", { amount: rupiah(key.monthly_budget_rupiah) }),
  ].filter(Boolean);
  const [first = t("key.unlimited"), ...others] = lines;
  const end = key.expires_at ? t("keys.until", { date: date(key.expires_at) }) : t("keys.endless");
  return [first, ...others.map((line) => el("div", {}, line)), ...(key.status === "revoked" ? [] : [under(end)])];
}

function actionsOf(key) {
  const named = (text) => ({ "aria-label": `${text}: ${key.name}, ${key.prefix}` });
  return [
    button(t("keys.change"), () => changeKey(key), named(t("keys.change"))),
    button(t("keys.rotate"), (own) => rotate(own, key), named(t("keys.rotate"))),
    button(t("keys.revoke"), (own) => revoke(own, key), named(t("keys.revoke"))),
  ];
}

async function rotate(own, { id, name }) {
  const choices = overlaps.map((hours) => ({ value: String(hours), text: t(`overlap.${hours}`), isUsual: hours === usualOverlap }));
  const hours = await ask({ title: t("rotate.title", { name }), text: t("rotate.text"), confirm: t("keys.rotate"), isGrave: false, choices });
  if (hours === undefined) return;
  let fresh;
  await runTask(own, { busy: t("rotate.busy"), errorId: "own-keys-error", task: "newkey" }, async () => {
    fresh = await read(`${path}/${id}/rotate`, { body: { overlap_hours: Number(hours) } });
  });
  if (!fresh) return;
  showNewKey(fresh);
  await loadOwnKeys().catch(() => {});
}

async function revoke(own, { id, name, prefix }) {
  if (!(await ask({ title: t("revoke.title", { name }), text: t("revoke.text", { prefix }), confirm: t("keys.revoke") }))) return;
  const isRevoked = await runTask(own, { busy: t("revoke.busy"), done: t("revoke.done", { name }), errorId: "own-keys-error" }, () =>
    read(`${path}/${id}`, { method: "DELETE" }),
  );
  if (!isRevoked) return;
  onRevoked(prefix);
  await loadOwnKeys().catch(() => {});
  byId("own-keys-title").focus();
}
