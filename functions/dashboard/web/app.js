/** Wires the page: one key, the panels that show what it may do, and the language. */
import { forgetBilling, openBilling, showBilling, startBilling } from "./billing.js";
import { refreshKey, showKey, startKeyPanel } from "./key.js";
import { forgetModels, loadModels, loadPrices, showModels } from "./models.js";
import { byId } from "./page.js";
import { forgetConversation, offerModels, startPlayground } from "./playground.js";
import { loadPolicy, showPolicy } from "./policy.js";
import { showQuickStart, startQuickStart } from "./start.js";
import { language, useLanguage } from "./text.js";

const languages = ["en", "id"];

async function start() {
  const asked = new URLSearchParams(location.search).get("lang");
  await useLanguage(languages.includes(asked) ? asked : language);
  markLanguage();

  startKeyPanel({ onOpen: openAll, onForget: forgetAll });
  startQuickStart();
  startBilling({ onRefresh: refreshKey });
  startPlayground({ onAnswered: () => refreshKey().catch(() => {}) });
  startLanguages();
  startNavigation();
  showAll();
  await Promise.all([loadPrices(), loadPolicy()]);
}

function openAll(facts) {
  void openBilling(facts);
  void showOffer(facts);
}

async function showOffer({ scopes }) {
  const models = await loadModels();
  offerModels(scopes.includes("chat") ? models : []);
  showQuickStart(models.find((model) => model.kind === "chat")?.id ?? null);
}

function forgetAll() {
  forgetModels();
  forgetConversation();
  forgetBilling();
  showQuickStart(null);
}

function showAll() {
  showKey();
  showBilling();
  showModels();
  showQuickStart();
  showPolicy();
}

/** Changes the language in place: a new page would forget the key. */
function startLanguages() {
  for (const link of document.querySelectorAll("[data-language]")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      await useLanguage(link.dataset.language);
      history.replaceState(null, "", `?lang=${language}${location.hash}`);
      markLanguage();
      showAll();
    });
  }
}

function markLanguage() {
  for (const link of document.querySelectorAll("[data-language]")) {
    if (link.dataset.language === language) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** Marks the section being read in the navigation. */
function startNavigation() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const list = byId("sections");
  const mark = (id) => {
    for (const [name, link] of links) {
      if (name !== id) link.removeAttribute("aria-current");
      else {
        link.setAttribute("aria-current", "location");
        list.scrollLeft = link.offsetLeft - list.clientWidth / 2;
      }
    }
  };
  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => mark(target.id === "top" ? "key" : target.id)),
    // A line a third down the window: the section that crosses it is the one being read.
    { rootMargin: "-33% 0px -66% 0px" },
  );
  for (const id of ["top", ...links.keys()]) observer.observe(byId(id));
}

await start();
