/** The audit log: filtered, page by page; its sealed days; a copy to verify. */
import { accountLink } from "./accounts.js";
import { ask, download } from "./api.js";
import { action, el, field, form, heading, input, mono, note, section, select, table } from "./dom.js";
import { time, words } from "./format.js";

export async function auditPage(accountId) {
  const [{ actions, days }, { operators }] = await Promise.all([ask("/audit/days"), ask("/operators")]);
  const list = el("div", {});
  const show = async (filter) => list.replaceChildren(...(await pageOf(filter, list)));
  const filterForm = form(
    [
      field("Account id", input("accountId", { value: accountId, maxlength: 36 })),
      field("Operator", select("operatorId", [["", "anyone"], ...operators.map(({ id, name }) => [id, name])])),
      field("Action", select("action", [["", "any"], ...actions.map((name) => [name, words(name)])])),
      field("From", input("from", { type: "date" })),
      field("To", input("to", { type: "date" })),
    ],
    "Filter",
    (values) => show(Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""))),
    { inline: true },
  );
  await show(accountId ? { accountId } : {});
  return [
    heading("Audit log"),
    note("Who did what, for 365 days. What is asked here about an account is noted too."),
    filterForm,
    list,
    section(
      "Sealed days",
      note("Each row is chained into the head of its day, which is signed every few minutes. Verify a download with npm run verify-audit."),
      action("Download for verification", async () => {
        save(await download("/audit/export"), "audit.ndjson");
        return "Downloaded";
      }),
      table(
        "Sealed days",
        ["Day", { title: "Rows", number: true }, "Sealed until (UTC)", "Head"],
        days.map(({ day, rows, sealedUntil, head }) => [day, rows.toLocaleString("en"), time(sealedUntil), mono(head.slice(0, 16))]),
        "Nothing is sealed yet: audit-seal runs every 5 minutes.",
      ),
    ),
  ];
}

async function pageOf(filter, list, before = null) {
  const { rows, next } = await ask("/audit", { ...filter, before });
  const older = next && action("Older", async () => older.replaceWith(...(await pageOf(filter, list, next))));
  return [
    table(
      "Audit log",
      ["Time (UTC)", "Who", "Did", "About", "Object"],
      rows.map(({ at, actor, operator, action: did, accountId, objectId, reason }) => [
        time(at), operator ?? actor, `${words(did)}${reason ? ` (${words(reason)})` : ""}`, accountLink(accountId, accountId?.slice(0, 8)), objectId && mono(objectId.slice(0, 8)),
      ]),
      before ? "There is nothing older." : "No row fits.",
    ),
    ...(older ? [older] : []),
  ];
}

function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}
