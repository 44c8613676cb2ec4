/** The usage explorer: the account's calls one by one, what they come to, and the same as CSV. Its filters stand in the address. */
import { explain, isAbort, read } from "./api.js";
import { modelsOnOffer } from "./models.js";
import { ownKeys } from "./own-keys.js";
import { announce, byId, button, el, showError, table, under } from "./page.js";
import { goTo, openPage, pageParameters } from "./pages.js";
import { openReceipt } from "./receipt.js";
import { runTask, save } from "./task.js";
import { latency, number, percent, rupiah, rupiahRound, t, utcTime } from "./text.js";
import { forgetFiles, openFiles, showFiles, startFiles } from "./usage-files.js";

const fields = ["from", "to", "model", "key_id", "endpoint", "status"];
/** As the API names them. */
const endpoints = ["chat.completions", "completions", "embeddings", "images.generations", "images.edits", "images.variations"];
/** Answers without an event that are followed until there is one: each has looked through 100,000. */
const emptyMax = 20;

/** Whether the session or the opened key may; null while there is neither. */
let mayUse = null;
/** The events in sight, `next` where there are older ones, and what all of them come to; null until they are known. */
let page = null;
let sums = null;
/** The cursors of the pages before this one. */
let newer = [];
/** Counts what was asked: an answer that is overtaken is of no use. */
let asked = 0;

export function startUsage() {
  byId("usage-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = Object.fromEntries(new FormData(event.currentTarget));
    if (wanted.from && wanted.to && wanted.from > wanted.to) {
      showError("usage-error", t("usage.order"));
      return byId("usage-from").focus();
    }
    if (new URLSearchParams(withValues(wanted)).toString() === queryNow()) return void openUsage();
    goTo("usage", wanted);
  });
  byId("usage-clear").addEventListener("click", () => (queryNow() ? goTo("usage") : void openUsage()));
  const [older, newerButton] = [byId("usage-older"), byId("usage-newer")];
  older.addEventListener("click", () => turn(older, newerButton, [...newer, page.next]));
  newerButton.addEventListener("click", () => turn(newerButton, older, newer.slice(0, -1)));
  byId("usage-csv").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("download.busy"), done: t("download.done"), errorId: "usage-error" }, () => save(`/v1/usage.csv?${queryNow()}`, "text/csv", "epithre-usage.csv")),
  );
  startFiles({ filters: () => withValues(Object.fromEntries(pageParameters())) });
}

/** To the top of another page. At the last one the button goes, and the focus to the other. */
async function turn(own, other, cursors) {
  if (!(await runTask(own, { busy: t("invoices.loading"), errorId: "usage-error" }, () => loadPage(cursors)))) return;
  byId("usage-events").scrollIntoView();
  if (own.hidden) other.focus({ preventScroll: true });
}

const withValues = (values) => Object.fromEntries(fields.filter((name) => values[name]).map((name) => [name, values[name]]));
const queryNow = () => new URLSearchParams(withValues(Object.fromEntries(pageParameters()))).toString();

/** `facts` of a session or a key: what they may do. */
export function allowUsage({ scopes }) {
  mayUse = scopes.includes("usage");
  showUsage();
  return openUsage();
}

/** Reads what the address asks for, where the page is in sight. */
export async function openUsage() {
  if (!mayUse || openPage() !== "usage") return;
  const parameters = pageParameters();
  for (const name of fields) choose(byId(`usage-${name}`), parameters.get(name) ?? "");
  const mine = (asked += 1);
  byId("usage-events").setAttribute("aria-busy", "true");
  try {
    const [found] = await Promise.all([read(`/v1/usage?group_by=model&${queryNow()}`), loadPage([]), openFiles()]);
    if (mine !== asked) return;
    sums = found;
    showError("usage-error", undefined);
    announce(t("usage.found", { count: number(sums.total.requests) }));
  } catch (error) {
    if (mine !== asked || isAbort(error)) return;
    [page, sums] = [null, null];
    showError("usage-error", explain(error));
  }
  byId("usage-events").removeAttribute("aria-busy");
  showUsage();
}

/** The page behind the last of the cursors; the first one behind none. Throws ApiError. */
async function loadPage(cursors) {
  const query = queryNow();
  let cursor = cursors.at(-1);
  let answer;
  for (let tries = 0; tries < emptyMax; tries += 1) {
    answer = await read(`/v1/usage/events?${query}${cursor ? `&cursor=${cursor}` : ""}`);
    cursor = answer.next_cursor;
    if (answer.data.length > 0 || !cursor) break;
  }
  if (query !== queryNow()) return;
  newer = cursors;
  page = { events: answer.data, next: answer.next_cursor };
  showUsage();
}

export function forgetUsage() {
  mayUse = page = sums = null;
  newer = [];
  asked += 1;
  showError("usage-error", undefined);
  forgetFiles();
  showUsage();
}

/** Draws it again: after new data, or in another language. */
export function showUsage() {
  byId("usage-panel").hidden = !mayUse;
  byId("usage-empty").hidden = mayUse === true;
  byId("usage-empty").textContent = t(mayUse === false ? "usage.refused" : "usage.empty");
  showChoices();
  showSums();
  const events = page?.events ?? [];
  byId("usage-none").hidden = page === null || events.length > 0;
  byId("usage-events").hidden = events.length === 0;
  byId("usage-events").replaceChildren(...(events.length > 0 ? [eventTable(events)] : []));
  byId("usage-newer").hidden = newer.length === 0;
  byId("usage-older").hidden = !page?.next;
  showFiles();
}

function showChoices() {
  const models = [...new Set([...modelsOnOffer().map(({ id }) => id), ...(sums?.data ?? []).map(({ model }) => model)])].sort();
  offer("model", models.map((id) => [id, id]));
  offer("key_id", ownKeys().map(({ id, name, prefix }) => [id, `${name} (${prefix}…)`]));
  offer("endpoint", endpoints.map((name) => [name, name]));
  offer("status", ["2xx", "4xx", "5xx"].map((name) => [name, t(`status.${name}`)]));
}

/** What is chosen stays, also where it is none that is known here: an address can name a key that has gone. */
function offer(name, choices) {
  const select = byId(`usage-${name}`);
  const chosen = select.value;
  select.replaceChildren(el("option", { value: "" }, t("usage.all")), ...choices.map(([value, text]) => el("option", { value }, text)));
  choose(select, chosen);
}

function choose(field, value) {
  field.value = value;
  if (field.value === value || field.tagName !== "SELECT") return;
  field.append(el("option", { value }, value));
  field.value = value;
}

function showSums() {
  const total = sums?.total;
  const figures = total && {
    requests: number(total.requests),
    errors: total.requests ? t("overview.errors.share", { errors: number(total.errors), share: percent(total.errors / total.requests) }) : number(0),
    input: number(total.prompt_tokens),
    output: number(total.completion_tokens),
    cost: rupiahRound(total.cost_rupiah),
    latency: total.latency_ms.p50 === null ? "–" : `${latency(total.latency_ms.p50)} / ${latency(total.latency_ms.p95)}`,
  };
  for (const name of ["requests", "errors", "input", "output", "cost", "latency"]) byId(`usage-sum-${name}`).textContent = figures?.[name] ?? "–";
}

function eventTable(events) {
  const columns = [
    { title: t("usage.time") },
    { title: t("models.model") },
    { title: t("usage.tokens"), number: true },
    { title: t("usage.cost"), number: true },
    { title: t("overview.latency"), number: true },
    { title: t("usage.status") },
    { title: t("usage.request") },
  ];
  return table(t("usage.title"), columns, events.map(rowOf));
}

function rowOf(event) {
  const id = event.request_id;
  const end = `…${id.slice(-8)}`;
  const open = button(end, () => openReceipt(id), { class: "plain code", "aria-haspopup": "dialog", "aria-label": t("usage.open", { id: end }), title: id });
  const state = event.status < 400 ? "paid" : "overdue";
  return [
    el("time", { datetime: event.time }, utcTime(event.time)),
    el("div", {}, el("span", { class: "code", translate: "no" }, event.model), under(event.endpoint, { translate: "no" })),
    event.images > 0 ? t("usage.images", { count: number(event.images) }) : t("playground.tokens", { input: number(event.prompt_tokens), output: number(event.completion_tokens) }),
    rupiah(event.cost_rupiah),
    latency(event.latency_ms),
    el("span", { class: `state ${state}` }, String(event.status)),
    open,
  ];
}
