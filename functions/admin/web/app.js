/** The frame: who is signed in, which page is open. A page is a function of what stands behind its name in the address. */
import { abusePage } from "./abuse.js";
import { accountPage, accountsPage } from "./accounts.js";
import { ask, session } from "./api.js";
import { auditPage } from "./audit.js";
import { byId, el, heading, note } from "./dom.js";
import { modelsPage } from "./models.js";
import { operatorsPage } from "./operators.js";
import { enrolPage, signInPage } from "./passkey.js";
import { retentionPage } from "./retention.js";
import { transfersPage } from "./transfers.js";

const pages = {
  accounts: ["Accounts", (id, reload) => (id ? accountPage(id, reload) : accountsPage())],
  transfers: ["Transfers", (accountId) => transfersPage(accountId)],
  models: ["Models", (_, reload) => modelsPage(reload)],
  abuse: ["Abuse", (_, reload) => abusePage(reload)],
  audit: ["Audit", (accountId) => auditPage(accountId)],
  evidence: ["Evidence", (_, reload) => retentionPage(reload)],
  operators: ["Operators", (_, reload) => operatorsPage(reload)],
};

/** Pages that are opened while another one loads must not be overtaken by it. */
let opened = 0;

function show(nodes) {
  byId("main").replaceChildren(...nodes);
  byId("main").querySelector("h1")?.focus({ preventScroll: true });
}

async function open() {
  const [name, parameter] = location.hash.slice(1).split("/");
  if (name === "main") return;
  const [title, page] = Object.hasOwn(pages, name) ? pages[name] : pages.accounts;
  for (const link of byId("pages").children) {
    if (link.textContent === title) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} – Epithre operators`;
  const mine = (opened += 1);
  try {
    const nodes = await page(parameter && decodeURIComponent(parameter), open);
    if (mine === opened) show(nodes);
  } catch (error) {
    if (mine !== opened) return;
    if (error.status === 401) return signedOut("The session has ended.");
    show([heading(title), el("p", { class: "problem", role: "alert" }, error.message)]);
  }
}

async function signedIn() {
  const { you, operators } = await ask("/operators");
  byId("name").textContent = operators.find(({ id }) => id === you)?.name ?? "";
  byId("pages").replaceChildren(...Object.entries(pages).map(([name, [title]]) => el("a", { href: `#${name}` }, title)));
  for (const id of ["pages", "who"]) byId(id).hidden = false;
  await open();
}

function signedOut(reason) {
  session.end();
  for (const id of ["pages", "who"]) byId(id).hidden = true;
  document.title = "Sign in – Epithre operators";
  show(signInPage(signedIn, reason));
}

async function start() {
  byId("sign-out").addEventListener("click", async () => {
    await ask("/sign-out").catch(() => {});
    signedOut("You are signed out.");
  });
  addEventListener("hashchange", () => (begin() ? undefined : session.token && open()));
  if (begin()) return;
  if (!session.token) return signedOut();
  await signedIn().catch((error) => (error.status === 401 ? signedOut("The session has ended.") : show([heading("Epithre operators"), note(error.message)])));
}

/** An enrolment link. Its word leaves the address at once: it must not stay in the history. */
function begin() {
  const invite = /^#invite=([\w-]+)$/.exec(location.hash)?.[1];
  if (!invite) return false;
  history.replaceState(null, "", location.pathname);
  session.end();
  for (const id of ["pages", "who"]) byId(id).hidden = true;
  show(enrolPage(invite, () => signedOut("The passkey is enrolled. Sign in with it.")));
  return true;
}

await start();
