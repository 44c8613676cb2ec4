/** What is kept, until when: the rows of the policy data, as the function serves them. */
import { byId, el, showError, table } from "./page.js";
import { has, language, t } from "./text.js";

/** Groups shown at once; the others are folded. */
const firstGroups = ["content", "keep"];

let rows = [];

export async function loadPolicy() {
  const response = await fetch(new URL("policy.json", import.meta.url), { credentials: "omit" }).catch(() => null);
  if (!response?.ok) return showError("policy-error", t("error.network"));
  rows = await response.json();
  showPolicy();
}

/** Draws the tables again: after new data, or in another language. */
export function showPolicy() {
  const first = firstGroups.flatMap(rowsOf);
  byId("policy-kept").replaceChildren(...(first.length > 0 ? [policyTable(t("policy.title"), first)] : []));

  const others = [...new Set(rows.map(groupOf))].filter((group) => !firstGroups.includes(group));
  byId("policy-details").hidden = others.length === 0;
  byId("policy-others").replaceChildren(
    ...others.flatMap((group) => {
      const title = has(`group.${group}`) ? t(`group.${group}`) : group;
      return [el("h3", {}, title), policyTable(title, rowsOf(group))];
    }),
  );
}

/** The words of one promise with its limit; empty until the rows are here. */
export function promiseText(id) {
  const row = rows.find((one) => one.id === id);
  return row ? el("span", {}, inLanguage(row.promise), ...(row.limit ? [el("strong", {}, " ", inLanguage(row.limit))] : [])) : "";
}

/** `keep` of `keep.usage`. */
const groupOf = ({ id }) => id.split(".")[0];
const rowsOf = (group) => rows.filter((row) => groupOf(row) === group);

function policyTable(caption, some) {
  const columns = [{ title: t("policy.promise") }, { title: t("policy.limit") }];
  return table(
    caption,
    columns,
    some.map(({ id, promise, limit }) => [
      [inLanguage(promise), el("code", { class: "under", translate: "no" }, id)],
      limit ? inLanguage(limit) : [],
    ]),
  );
}

/** The text in the page's language; where there is none, the English that binds, marked as such. */
function inLanguage(text) {
  const own = text[language];
  return el("span", { lang: own === undefined && language !== "en" && "en" }, own ?? text.en);
}
