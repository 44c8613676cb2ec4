/** `/policy`: what is promised, how each is kept, and what was measured. */
import type { Language } from "#shared/languages.ts";
import { policy, policyVersion, type PolicyRow } from "#shared/policy.ts";
import { policyTexts, proofText } from "#shared/policy-texts.ts";
import { earlyDays, erasureGraceDays } from "#shared/stored-data.ts";
import { dueHours, type Evidence } from "./evidence.ts";
import { createFormat, type Format } from "./format.ts";
import { html, type Html } from "./html.ts";
import type { Judgement } from "./judge.ts";
import { layout } from "./layout.ts";
import { evidencePath, keysPath } from "./paths.ts";
import { type Words, wordsIn } from "./words.ts";

interface Part {
  evidence: Evidence;
  language: Language;
  words: Words;
  format: Format;
}

export function policyPage(evidence: Evidence, language: Language): string {
  const words = wordsIn[language];
  const part: Part = { evidence, language, words, format: createFormat(language, evidence.judgedAt) };
  const body = html`${hero(part)}
${tiles(part)}
${retention(part)}
${promises(part)}
${statements(part)}
${versions(part)}
${verify(part)}`;
  return layout({ language, path: "/policy", title: words.title, description: words.description, words, body });
}

function hero({ evidence: { judgements, facts }, words: { title, hero: say }, format }: Part): Html {
  const red = judgements.filter(({ state }) => state !== "kept").length;
  const measured = facts ? html`${say.measured(format.time(facts.measuredAt))}` : say.never;
  return html`<div class="hero">
<h1>${title}</h1>
<p class="lede">${say.lede}</p>
<p class="verdict ${red === 0 ? "good" : "bad"}"><strong>${red === 0 ? say.allKept : say.someRed(red)}</strong> <span>${measured}</span></p>
</div>`;
}

function tiles({ evidence, words: { live }, format }: Part): Html {
  const { facts, backupWindowDays, release } = evidence;
  const isRed = (id: string, ...codes: string[]) =>
    evidence.judgements.some((one) => one.id === id && one.findings.some(({ code }) => codes.includes(code)));
  const tile = (name: string, value: string | Html, bad: boolean, ...small: (string | Html)[]) =>
    html`<div class="tile"><dt>${name}</dt><dd class="value${bad && " bad"}">${value}</dd>${small.map((line) => html`<dd class="small">${line}</dd>`)}</div>`;

  const purge = facts?.purge;
  const canary = facts?.canary;
  const head = facts?.auditHead;
  const due = facts && dueHours(facts);
  return html`<section aria-labelledby="now">
<h2 id="now">${live.title}</h2>
<dl class="tiles">
${tile(live.purge, purge?.finishedAt ? format.ago(purge.finishedAt) : live.purgeNone, isRed("keep.*", "purge_never", "purge_gap", "purge_refused") || !facts, live.purgeNote)}
${tile(
  live.erasures,
  facts?.dueErasures.accounts ? String(facts.dueErasures.accounts) : live.erasuresNone,
  isRed("right.delete", "erasure_late"),
  ...(due ? [live.erasuresOldest(format.span(due))] : []),
  live.erasuresNote(erasureGraceDays),
)}
${tile(live.audit, head ? format.ago(head.sealedUntil) : live.auditNone, isRed("keep.audit", "audit_never", "audit_unsealed") || !facts, ...(head ? [live.auditRows(head.rows), html`<code>${head.head}</code>`] : []))}
${tile(
  live.canary,
  canary ? html`${live.canaryHits(canary.hits)}` : live.canaryNone,
  isRed("content.none", "canary_hits", "canary_blind", "canary_old"),
  ...(canary ? [html`${format.ago(canary.scannedAt)} · ${live.canaryDetail(format.bytes(canary.bytesSearched), canary.storesSearched, canary.controlsFound, canary.storesNotSearched)}`] : []),
  live.canaryNote,
)}
${tile(live.backups, backupWindowDays === null ? live.backupsNone : live.backupsWindow(backupWindowDays), isRed("keep.*", "purge_window"), live.backupsNote(earlyDays(backupWindowDays)))}
<div class="tile"><dt>${live.versions}</dt><dd class="pairs"><span>${live.policyVersion}</span> ${policyVersion.version} <span>${live.release}</span> ${release} <span>${live.migration}</span> ${facts?.migration.replace(/\.sql$/, "") ?? "–"}</dd></div>
</dl>
</section>`;
}

function retention({ evidence: { stores }, words, format }: Part): Html {
  const { retention: say, stores: names } = words;
  const head = (text: string) => html`<th scope="col" role="columnheader">${text}</th>`;
  const rows = stores.map(({ store, oldestAt, liveHours, promisedHours, backupHours, marginHours }) => {
    const late = marginHours < 0;
    return html`<tr role="row">
<th scope="row" role="rowheader">${names[store] ?? store}</th>
<td role="cell" data-label="${say.oldest}"><span>${oldestAt ? format.time(oldestAt) : say.none}</span></td>
<td role="cell" data-label="${say.live}"><span>${format.span(liveHours)}</span>${backupHours > 0 && html`<span class="small">${say.ofBackups(format.span(backupHours))}</span>`}</td>
<td role="cell" data-label="${say.promised}"><span>${format.span(promisedHours)}</span></td>
<td role="cell" data-label="${say.margin}"${late && html` class="bad"`}><span>${late ? say.past(format.span(-marginHours)) : format.span(marginHours)}</span><meter min="0" max="1" low="0.0001" optimum="1" value="${Math.max(0, marginHours / liveHours).toFixed(4)}"></meter></td>
</tr>`;
  });
  return html`<section aria-labelledby="oldest">
<h2 id="oldest">${say.title}</h2>
<p class="lede">${say.lede}</p>
<div class="card"><table class="cards" role="table">
<caption class="unseen">${say.title}</caption>
<thead role="rowgroup"><tr role="row">${[say.store, say.oldest, say.live, say.promised, say.margin].map(head)}</tr></thead>
<tbody role="rowgroup">${rows}</tbody>
</table></div>
</section>`;
}

function promises(part: Part): Html {
  const { words, evidence } = part;
  const { promises: say, kinds, kindNotes, groups } = words;
  const kind = (name: keyof typeof kinds) => html`<li><strong>${kinds[name]}</strong>: ${kindNotes[name]}</li>`;
  const all = evidence.judgements.map((judgement, index) => ({ judgement, row: policy[index]! }));
  return html`<section aria-labelledby="promises">
<h2 id="promises">${say.title}</h2>
<p class="lede">${say.lede}</p>
<ul class="kinds">${kind("measured")}${kind("configured")}${kind("attested")}</ul>
${Object.entries(Object.groupBy(all, ({ row }) => row.id.split(".")[0]!)).map(
  ([group, some]) => html`<div class="group">
<h3>${groups[group] ?? group}</h3>
${some!.map(({ row, judgement }) => promise(part, row, judgement))}
</div>`,
)}
</section>`;
}

function promise({ language, words, format }: Part, row: PolicyRow, { state, kind, findings }: Judgement): Html {
  const [text] = policyTexts([row]);
  const proof = proofText(row.proof);
  const say = { span: format.span, store: (name: string) => words.stores[name] ?? name };
  return html`<article class="promise${state !== "kept" && " red"}" id="${row.id}">
<header>${badge(state === "kept", words.states[state])}<a href="#${row.id}" translate="no">${row.id}</a></header>
<p class="text">${inLanguage(text!.promise, language)}</p>
${text!.limit && html`<p class="limit"><b>${words.promises.limit}</b>: ${inLanguage(text!.limit, language)}</p>`}
${findings.length > 0 && html`<div class="why">${findings.map((finding) => html`<p>${words.finding(finding, say)}</p>`)}</div>`}
<p class="how"><b>${words.kinds[kind]}</b>: ${inLanguage(proof, language)} · ${words.promises.tests(row.id)}</p>
</article>`;
}

function statements({ evidence: { facts }, language, words, format }: Part): Html {
  const { statements: say } = words;
  const rows = policy.flatMap(({ id, proof }) => {
    if (proof.kind !== "attested") return [];
    const stated = facts?.attestations.find(({ promise: about }) => about === id);
    return [html`<tr role="row">
<th scope="row" role="rowheader"><a href="#${id}">${id}</a></th>
<td role="cell" data-label="${say.role}"><span>${inLanguage(proofText(proof), language)}</span></td>
<td role="cell" data-label="${say.stated}"><span>${stated ? format.date(stated.statedAt) : say.none}</span></td>
<td role="cell" data-label="${say.expires}"><span>${stated ? format.date(stated.expiresAt) : "–"}</span></td>
</tr>`];
  });
  const head = (text: string) => html`<th scope="col" role="columnheader">${text}</th>`;
  return html`<section aria-labelledby="statements">
<h2 id="statements">${say.title}</h2>
<p class="lede">${say.lede}</p>
<div class="card"><table class="cards" role="table">
<caption class="unseen">${say.title}</caption>
<thead role="rowgroup"><tr role="row">${[words.promises.title, say.role, say.stated, say.expires].map(head)}</tr></thead>
<tbody role="rowgroup">${rows}</tbody>
</table></div>
</section>`;
}

/** The place for the version that comes, and for those that were. */
function versions({ words: { versions: say }, format }: Part): Html {
  return html`<section aria-labelledby="versions">
<h2 id="versions">${say.title}</h2>
<p>${say.inForce(policyVersion.version, format.date(new Date(policyVersion.date)))}</p>
</section>`;
}

function verify({ words: { verify: say, rights }, language }: Part): Html {
  return html`<section aria-labelledby="verify">
<h2 id="verify">${say.title}</h2>
<p class="lede">${say.lede}</p>
<pre><code>npm run verify-evidence -- --evidence evidence.json --keys keys.json</code></pre>
<ul class="links">
<li><a href="${evidencePath}">${say.evidence}</a></li>
<li><a href="${keysPath}">${say.keys}</a></li>
<li><a href="/policy.json">${say.data}</a></li>
<li><a href="/status?lang=${language}">${say.status}</a></li>
<li><a href="/.well-known/security.txt">${say.disclosure}</a></li>
</ul>
<h3>${rights.title}</h3>
<p>${rights.text} <a href="mailto:hello@epithre.com">hello@epithre.com</a></p>
</section>`;
}

export const badge = (good: boolean, text: string) => html`<span class="badge ${good ? "good" : "bad"}">${text}</span>`;

/** Where there is no translation, the English that binds, marked as such. */
function inLanguage(text: ReturnType<typeof proofText>, language: Language): Html {
  const own = text[language];
  return own === undefined ? html`<span lang="en">${text.en}</span>` : html`${own}`;
}
