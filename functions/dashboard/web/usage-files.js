/** The usage log as files that are built in the background: asking for one, how far it is, and the link that opens it. */
import { read } from "./api.js";
import { byId, button, el, table, under } from "./page.js";
import { openPage } from "./pages.js";
import { runTask } from "./task.js";
import { date, number, t, time, utcDay } from "./text.js";

const path = "/v1/usage/exports";
/** Milliseconds until it is worth looking again how far a file is: the API says so, too. */
const lookAgainMs = 15_000;

/** GET /v1/usage/exports; null until it is known. */
let files = null;
/** By the file's id: `{ path, expires_at }`. They are in this page's memory only. */
const links = new Map();
let looking;

/** `filters()` are those that the file is to have. */
export function startFiles({ filters }) {
  byId("usage-file").addEventListener("click", ({ currentTarget }) =>
    runTask(currentTarget, { busy: t("files.asking"), done: t("files.asked"), errorId: "files-error", task: "files" }, async () => {
      await read(path, { body: filters() });
      await openFiles();
    }),
  );
}

/** Throws ApiError. */
export async function openFiles() {
  files = (await read(path)).data;
  showFiles();
  clearTimeout(looking);
  if (files.some(isUnfinished)) looking = setTimeout(() => openPage() === "usage" && openFiles().catch(() => {}), lookAgainMs);
}

export function forgetFiles() {
  clearTimeout(looking);
  files = null;
  links.clear();
}

const isUnfinished = ({ status }) => status === "queued" || status === "building";

/** Draws them again: after new data, or in another language. */
export function showFiles() {
  const any = (files ?? []).length > 0;
  byId("files-table").hidden = !any;
  const columns = [
    { title: t("files.holds") },
    { title: t("invoices.state") },
    { title: t("files.rows"), number: true },
    { title: t("invoices.actions"), buttons: true },
  ];
  byId("files-table").replaceChildren(...(any ? [table(t("files.title"), columns, files.map(rowOf))] : []));
}

const states = { queued: "open", building: "open", ready: "paid", failed: "overdue" };

function rowOf(file) {
  const { from, to, model, key_id: keyId, endpoint, status } = file.query;
  const filters = [model, keyId, endpoint, status].filter(Boolean).join(", ");
  return [
    [t(to ? "files.days" : "files.since", { from: utcDay(from), to: to && utcDay(to) }), under(filters || t("files.all"))],
    el("div", {}, el("span", { class: `state ${states[file.status]}` }, t(`files.${file.status}`)), under(t("files.until", { date: date(file.expires_at) }))),
    number(file.rows),
    el("div", {}, ...(file.status === "ready" ? [opening(file)] : [])),
  ];
}

function opening({ id }) {
  const link = links.get(id);
  if (link && Date.parse(link.expires_at) > Date.now()) return el("a", { href: link.path, download: true }, t("files.download", { time: time(link.expires_at) }));
  return button(t("files.link"), (own) =>
    runTask(own, { busy: t("files.linking"), done: t("files.linked"), errorId: "files-error" }, async () => {
      links.set(id, await read(`${path}/${id}/link`, { method: "POST" }));
      showFiles();
      byId("files-table").querySelector(`a[href*="${id}"]`).focus();
    }),
  );
}
