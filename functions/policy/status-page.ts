/** `/status` and `/status.json`: what works now. */
import type { Language } from "#shared/languages.ts";
import { createFormat } from "./format.ts";
import { html } from "./html.ts";
import { layout } from "./layout.ts";
import { badge } from "./page.ts";
import { isAllUp, type Status } from "./status.ts";
import { wordsIn } from "./words.ts";

export function statusPage(status: Status, language: Language): string {
  const words = wordsIn[language];
  const { status: say } = words;
  const { functions, database, engines, checkedAt } = status;
  const allUp = isAllUp(status);
  const row = (name: string, note: string, good: boolean, text: string) =>
    html`<tr role="row"><th scope="row" role="rowheader">${name}<span class="small">${note}</span></th><td role="cell" class="state">${badge(good, text)}</td></tr>`;
  const body = html`<div class="hero">
<h1>${say.title}</h1>
<p class="lede">${say.lede}</p>
<p class="verdict ${allUp ? "good" : "bad"}"><strong>${allUp ? say.up : say.degraded}</strong> <span>${say.checked(createFormat(language, checkedAt).time(checkedAt))}</span></p>
</div>
<section aria-labelledby="functions">
<h2 id="functions">${say.functions}</h2>
<div class="card"><table role="table">
<caption class="unseen">${say.functions}</caption>
<tbody role="rowgroup">
${row(say.engines, say.enginesNote, engines !== null && engines.up === engines.all, engines ? say.enginesUp(engines.up, engines.all) : say.enginesUnknown)}
${row(say.database, "Postgres", database === "up", say.states[database])}
${functions.map(({ name, state }) => row(name, say.purposes[name] ?? "", state === "up", say.states[state]))}
</tbody>
</table></div>
</section>`;
  return layout({ language, path: "/status", title: say.title, description: say.description, words, body });
}

export function statusJson(status: Status): string {
  const { checkedAt, functions, database, engines } = status;
  return JSON.stringify({
    checked_at: checkedAt.toISOString(),
    state: isAllUp(status) ? "up" : "degraded",
    functions: Object.fromEntries(functions.map(({ name, state }) => [name, state])),
    database,
    engines,
  });
}
