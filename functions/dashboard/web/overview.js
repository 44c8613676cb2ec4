/** The overview: what the account has, and what it used by day and by model. The sums are the API's own. */
import { balanceNow, refreshAccount } from "./account.js";
import { explain, isAbort, read } from "./api.js";
import { chart, shareBar } from "./chart.js";
import { addressOf, openPage, pageParameters } from "./pages.js";
import { byId, el, showError, table } from "./page.js";
import { session } from "./session.js";
import { runTask } from "./task.js";
import { latency, number, percent, rupiah, rupiahRound, t, utcDay } from "./text.js";

const ranges = [7, 30, 90];
const usualRange = 30;
const dayMs = 86_400_000;

/** GET /v1/usage by day and by model, and the first and last of its days; null until they are known. */
let sums = null;

export function startOverview() {
  byId("account-refresh").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("key.refreshing"), done: t("key.refreshed"), errorId: "account-error" }, () => Promise.all([refreshAccount(), load()])),
  );
}

/** Days that the address asks for. */
function rangeNow() {
  const asked = Number(pageParameters().get("days"));
  return ranges.includes(asked) ? asked : usualRange;
}

/** Reads it again where it is in sight. */
export async function openOverview() {
  if (!session() || openPage() !== "overview") return;
  showOverview();
  try {
    await load();
    showError("overview-error", undefined);
  } catch (error) {
    if (!isAbort(error)) showError("overview-error", explain(error));
  }
}

/** Throws ApiError. */
async function load() {
  const days = rangeNow();
  const today = Date.now();
  const [from, to] = [today - (days - 1) * dayMs, today].map((ms) => new Date(ms).toISOString().slice(0, 10));
  byId("overview-charts").setAttribute("aria-busy", "true");
  const of = (dimension) => read(`/v1/usage?from=${from}&to=${to}&group_by=${dimension}`);
  const [byDay, byModel] = await Promise.all([of("day"), of("model")]).finally(() => days === rangeNow() && byId("overview-charts").removeAttribute("aria-busy"));
  // Another range was chosen meanwhile.
  if (days !== rangeNow()) return;
  sums = { days, from, to, byDay: everyDay(from, days, byDay.data), byModel: byModel.data, total: byDay.total };
  showOverview();
}

const nothing = { requests: 0, errors: 0, prompt_tokens: 0, completion_tokens: 0, cost_rupiah: "0", latency_ms: { p50: null, p95: null } };

/** The API leaves out days without a call. */
function everyDay(from, days, lines) {
  const known = new Map(lines.map((line) => [line.day, line]));
  return Array.from({ length: days }, (_, index) => {
    const day = new Date(Date.parse(from) + index * dayMs).toISOString().slice(0, 10);
    return known.get(day) ?? { ...nothing, day };
  });
}

export function forgetOverview() {
  sums = null;
  showError("overview-error", undefined);
  showOverview();
}

/** Draws it again: after new data, or in another language. */
export function showOverview() {
  byId("overview").hidden = !session();
  for (const link of document.querySelectorAll("[data-days]")) {
    if (Number(link.dataset.days) === rangeNow()) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const isUsed = sums !== null && sums.total.requests > 0;
  byId("overview-empty").hidden = sums === null || isUsed;
  byId("overview-used").hidden = sums !== null && !isUsed;
  byId("overview-none").textContent = sums ? t("overview.none", { days: sums.days }) : "";
  byId("overview-topped").hidden = !(Number(balanceNow()?.amount ?? 0) > 0);
  byId("overview-charts").replaceChildren(...(isUsed ? charts() : []));
  byId("overview-models").replaceChildren(...(isUsed ? [modelTable()] : []));
  byId("overview-tables").hidden = !isUsed;
  byId("overview-days").replaceChildren(...(isUsed ? [dayTable()] : []));
}

function charts() {
  const { byDay, total } = sums;
  const shared = { axis: axisWords(byDay), format: (value) => number(value, { notation: "compact" }) };
  const at = (index) => utcDay(byDay[index].day);
  const cost = byDay.map((line) => Number(line.cost_rupiah));
  const shares = byDay.map(({ errors, requests }) => (requests ? errors / requests : null));
  const [p50, p95] = ["p50", "p95"].map((name) => byDay.map((line) => line.latency_ms[name]));
  const requests = (line) => t("overview.errors.of", { errors: number(line.errors), requests: number(line.requests) });
  const tokens = (line) => t("playground.tokens", { input: number(line.prompt_tokens), output: number(line.completion_tokens) });
  const delays = ({ latency_ms: of }) => (of.p50 === null ? t("overview.quiet") : t("overview.latency.of", { p50: latency(of.p50), p95: latency(of.p95) }));
  const most = (values, word) => t("overview.most", { value: word(values.indexOf(Math.max(...values))), day: at(values.indexOf(Math.max(...values))), where: t("overview.days") });
  return [
    chart({
      ...shared, title: t("overview.spend"), figure: rupiahRound(total.cost_rupiah),
      hint: t("overview.spend.hint", { average: rupiahRound(Number(total.cost_rupiah) / byDay.length) }),
      described: most(cost, (index) => rupiah(byDay[index].cost_rupiah)),
      series: [{ name: t("overview.spend"), kind: "solid", values: cost }],
      said: (index) => `${at(index)}: ${rupiah(byDay[index].cost_rupiah)}`,
    }),
    chart({
      ...shared, title: t("overview.tokens"), figure: number(total.prompt_tokens + total.completion_tokens, { notation: "compact", maximumFractionDigits: 1 }),
      hint: tokens(total),
      described: most(byDay.map((line) => line.prompt_tokens + line.completion_tokens), (index) => tokens(byDay[index])),
      series: [
        { name: t("models.input"), kind: "solid", values: byDay.map((line) => line.prompt_tokens) },
        { name: t("models.output"), kind: "hollow", values: byDay.map((line) => line.completion_tokens) },
      ],
      said: (index) => `${at(index)}: ${tokens(byDay[index])}`,
    }),
    chart({
      ...shared, format: (value) => percent(value), title: t("overview.rate"), figure: percent(total.errors / total.requests), hint: requests(total),
      described: most(shares.map((share) => share ?? 0), (index) => percent(shares[index] ?? 0)),
      series: [{ name: t("overview.rate"), kind: "bad", values: shares }],
      said: (index) => `${at(index)}: ${requests(byDay[index])}`,
    }),
    chart({
      ...shared, format: latency, title: t("overview.latency"), figure: total.latency_ms.p50 === null ? "–" : latency(total.latency_ms.p50), hint: delays(total),
      described: most(p95.map((value) => value ?? 0), (index) => latency(p95[index] ?? 0)),
      series: [
        { name: t("overview.p50"), kind: "line", values: p50 },
        { name: t("overview.p95"), kind: "dashed", values: p95 },
      ],
      said: (index) => `${at(index)}: ${delays(byDay[index])}`,
    }),
  ];
}

/** First, middle and last day. */
function axisWords(byDay) {
  const marks = [0, Math.floor(byDay.length / 2), byDay.length - 1];
  return marks.map((index) => utcDay(byDay[index].day, { day: "numeric", month: "short" }));
}

function modelTable() {
  const { byModel, from, to } = sums;
  const most = Math.max(...byModel.map((line) => Number(line.cost_rupiah)));
  const rows = byModel
    .toSorted((one, other) => Number(other.cost_rupiah) - Number(one.cost_rupiah))
    .map((line) => [
      el("a", { class: "code", translate: "no", href: addressOf("usage", { from, to, model: line.model }) }, line.model),
      el("div", { class: "spent" }, rupiah(line.cost_rupiah), shareBar(most ? Number(line.cost_rupiah) / most : 0)),
      ...figures(line),
    ]);
  return table(t("overview.by.model"), [{ title: t("models.model") }, { title: t("overview.spend"), number: true }, ...figureColumns()], rows);
}

function dayTable() {
  const rows = sums.byDay.map((line) => [
    el("a", { href: addressOf("usage", { from: line.day, to: line.day }) }, utcDay(line.day)),
    rupiah(line.cost_rupiah),
    ...figures(line),
  ]);
  return table(t("overview.days"), [{ title: t("overview.day") }, { title: t("overview.spend"), number: true }, ...figureColumns()], rows);
}

function figureColumns() {
  const words = ["overview.requests", "overview.errors", "overview.input", "overview.output", "overview.p50", "overview.p95"];
  return words.map((word) => ({ title: t(word), number: true }));
}

const figures = (line) => [
  number(line.requests),
  line.requests ? t("overview.errors.share", { errors: number(line.errors), share: percent(line.errors / line.requests) }) : "–",
  number(line.prompt_tokens),
  number(line.completion_tokens),
  line.latency_ms.p50 === null ? "–" : latency(line.latency_ms.p50),
  line.latency_ms.p95 === null ? "–" : latency(line.latency_ms.p95),
];
