/** The account that is logged in: its balance, what it is, and the ways out. */
import { heldOf } from "./amount.js";
import { read } from "./api.js";
import { clearForm, startForm } from "./form.js";
import { announce, byId, el, showError } from "./page.js";
import { beginSession, endSession, session } from "./session.js";
import { runTask } from "./task.js";
import { date, rupiah, rupiahParts, t } from "./text.js";

/** GET /v1/account and GET /v1/billing/balance; null until they are known. */
let account = null;
let balance = null;

export const balanceNow = () => balance;

let onChange = () => {};

/** `changed()` runs with each new balance. */
export function startAccount({ changed }) {
  onChange = changed;
  byId("logout").addEventListener("click", () => endSession("left"));
  byId("logout-all").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("logout.busy"), errorId: "sessions-error" }, async () => {
      await read("/v1/account/logout-all", { body: {} });
      endSession("left");
    }),
  );
  startForm("name", { busy: "alert.saving", done: "name.saved", work: ({ name }) => change({ name: name || null }) });
  startForm("email", {
    busy: "alert.saving",
    work: change,
    after: ({ email }) => {
      byId("email-form").reset();
      announce(t("email.asked", { email }));
    },
  });
  startForm("password", {
    busy: "alert.saving",
    done: "password.saved",
    // All sessions have ended; this one has a successor.
    work: async (values) => beginSession((await read("/v1/account/password", { body: values })).token),
  });
}

async function change(body) {
  fill(await read("/v1/account", { method: "PATCH", body }), balance);
}

/** Throws ApiError. */
export async function refreshAccount() {
  const [fresh, freshBalance] = await Promise.all([read("/v1/account"), read("/v1/billing/balance")]);
  showError("account-error", undefined);
  fill(fresh, freshBalance);
}

export function forgetAccount() {
  for (const name of ["name", "email", "password"]) clearForm(name);
  for (const part of ["account", "sessions"]) showError(`${part}-error`, undefined);
  fill(null, null);
}

function fill(fresh, freshBalance) {
  const input = byId("name-input");
  // A name that is being typed stays.
  if (input.value === (account?.name ?? "") || fresh?.name !== account?.name) input.value = fresh?.name ?? "";
  account = fresh;
  balance = freshBalance;
  showAccount();
  onChange();
}

/** Draws it again: for another account, or in another language. */
export function showAccount() {
  byId("account-bar").hidden = !session();
  for (const name of ["account", "profile"]) byId(`${name}-email`).textContent = account?.email ?? "";
  byId("account-since").textContent = account ? t("account.since", { date: date(account.created_at) }) : "";
  byId("account-suspended").hidden = account?.status !== "suspended";
  byId("email-now").textContent = !account
    ? ""
    : account.new_email
      ? t("email.waiting", { email: account.email, next: account.new_email })
      : t("email.now", { email: account.email });
  const [whole, fraction] = balance ? rupiahParts(balance.amount) : ["–", ""];
  byId("account-balance").replaceChildren(whole, el("small", {}, fraction));
  byId("account-available").textContent = !balance
    ? ""
    : balance.available === balance.amount
      ? t("key.available.all")
      : t("key.available", { amount: rupiah(balance.available, 2), held: rupiah(heldOf(balance), 2) });
}
