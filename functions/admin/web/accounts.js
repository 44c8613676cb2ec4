/** Find an account, and do what is to be done about it. Each look leaves a row in the audit log. */
import { ask } from "./api.js";
import { action, badge, el, facts, field, form, heading, input, mono, note, section, select, table } from "./dom.js";
import { microOf, rupiah, time, words } from "./format.js";

const suspensionReasons = ["abuse", "security", "unpaid", "legal", "operator_decision"];

/** Which reasons go with which kind of billing event. */
const creditKinds = ["top_up", "refund", "signup_credit", "adjustment"];
const creditReasons = ["bank_transfer", "refund_requested", "account_closing", "service_fault", "goodwill", "correction", "signup"];

export const statusBadge = (status) => badge(status, { active: "good", suspended: "bad", closed: "" }[status]);

export const accountLink = (id, text) => (id ? el("a", { href: `#accounts/${id}` }, mono(text ?? id)) : null);

function queryOf(text) {
  if (text.includes("@")) return { email: text };
  return text.startsWith("ep_") ? { keyPrefix: text.slice(0, 12) } : { accountId: text.toLowerCase() };
}

export function accountsPage() {
  const results = el("div", {});
  return [
    heading("Accounts"),
    note("Finding an account is noted in the audit log, and so is opening it."),
    form(
      [field("E-mail, account id, or the first 12 characters of a key", input("query", { required: true, maxlength: 254 }))],
      "Find",
      async ({ query }) => {
        const { accounts } = await ask("/accounts/find", queryOf(query.trim()));
        results.replaceChildren(
          table("Accounts found", ["Account", "Status"], accounts.map(({ accountId, status }) => [accountLink(accountId), statusBadge(status)]), "No account has this."),
        );
        return `${accounts.length} found`;
      },
    ),
    results,
  ];
}

export async function accountPage(accountId, reload) {
  const account = await ask("/accounts/read", { accountId });
  return [
    heading(account.email ?? "Account", statusBadge(account.status)),
    facts([
      ["Account", mono(account.id)],
      ["Name", account.name],
      ["Opened (UTC)", time(account.openedAt)],
      ...(account.closedAt ? [["Closed (UTC)", time(account.closedAt)]] : []),
      ["Balance", rupiah(account.balanceMicro)],
      ["Available", rupiah(account.availableMicro)],
      ["Transfers", el("a", { href: `#transfers/${account.id}` }, "its invoices")],
      ["Trail", el("a", { href: `#audit/${account.id}` }, "what the audit log says")],
    ]),
    ...(account.status === "closed" ? [] : [section("Status", statusForms(account, reload)), section("Post a billing event", creditForm(account, reload))]),
    section("Keys", keysTable(account, reload)),
    section(
      "Last billing events",
      table(
        "Billing events",
        ["Time (UTC)", "Kind", "Reason", { title: "Amount", number: true }],
        account.billingEvents.map(({ at, kind, reason, amountMicro }) => [time(at), words(kind), words(reason), rupiah(amountMicro)]),
        "None yet.",
      ),
    ),
  ];
}

function statusForms({ id: accountId, status }, reload) {
  const change = (path) => async (values) => {
    await ask(path, { accountId, ...values });
    await reload();
    return "Done";
  };
  return el(
    "div",
    { class: "row" },
    status === "suspended"
      ? action("Reinstate", change("/accounts/reinstate"))
      : form([field("Reason", select("reason", suspensionReasons))], "Suspend", change("/accounts/suspend"), {
          danger: "All calls of this account stop within a second, running streams too.", inline: true,
        }),
    action("Close for good", change("/accounts/close"), { danger: "Its keys stop at once, and in 7 days all but its billing records is erased. Nothing brings it back." }),
  );
}

function creditForm({ id: accountId }, reload) {
  // Sent again, the same form is the same event.
  const idempotencyKey = crypto.randomUUID();
  return form(
    [
      field("Kind", select("kind", creditKinds, "adjustment")),
      field("Rupiah (a refund is negative)", input("amount", { required: true, inputmode: "decimal", maxlength: 20 })),
      field("Reason", select("reason", creditReasons, "goodwill")),
    ],
    "Post",
    async ({ kind, amount, reason }) => {
      await ask("/credits", { accountId, kind, amountMicro: microOf(amount), reason, idempotencyKey });
      await reload();
      return "Posted";
    },
    { danger: "This is money: it moves the balance at once, and a correction is another event.", inline: true },
  );
}

function keysTable({ keys }, reload) {
  const limits = ({ requestsPerMinute, tokensPerMinute, monthlyBudgetMicro }) =>
    [
      requestsPerMinute && `${requestsPerMinute.toLocaleString("en")} requests/min`,
      tokensPerMinute && `${tokensPerMinute.toLocaleString("en")} tokens/min`,
      monthlyBudgetMicro && `${rupiah(monthlyBudgetMicro)} a month`,
    ].filter(Boolean).join(", ") || "none";
  const revoke = (keyId) => action("Revoke", async () => {
    await ask("/keys/revoke", { keyId });
    await reload();
    return "Revoked";
  }, { danger: "The key stops within a second, for good." });
  return table(
    "Keys",
    ["Key", "Name", "Scopes", "Limits", "Made (UTC)", "State"],
    keys.map((key) => [
      mono(`${key.prefix}…`), key.name, key.scopes.join(", "), limits(key), time(key.createdAt), key.revokedAt ? `revoked ${time(key.revokedAt)}` : revoke(key.id),
    ]),
    "It has no key.",
  );
}
