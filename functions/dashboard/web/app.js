/** Wires the page: one session or one key, the panels that show what it may do, and the language. */
import { openLink, resetAccess, say, showAccess, startAccess, tell } from "./access.js";
import { forgetAccount, refreshAccount, showAccount, startAccount } from "./account.js";
import { explain, isAbort } from "./api.js";
import { startAsking, stopAsking } from "./ask.js";
import { forgetBilling, openBilling, showBilling, startBilling } from "./billing.js";
import { startPasswords } from "./form.js";
import { forgetKey, forgetKeyOf, openKey, refreshKey, showKey, startKeyPanel } from "./key.js";
import { startLinks } from "./links.js";
import { forgetModels, loadModels, loadPrices, modelsOnOffer, showModels } from "./models.js";
import { startChangingKeys, stopChangingKeys } from "./change-key.js";
import { forgetNewKey, showNewKeyForm, startNewKey } from "./new-key.js";
import { forgetOverview, openOverview, showOverview, startOverview } from "./overview.js";
import { forgetDeletion, forgetOwnData, showOwnData, startOwnData } from "./own-data.js";
import { forgetOwnKeys, loadOwnKeys, showOwnKeys, startOwnKeys } from "./own-keys.js";
import { byId, el, showError } from "./page.js";
import { goTo, openPage, showPage, startPages } from "./pages.js";
import { forgetConversation, offerModels, startPlayground } from "./playground.js";
import { loadPolicy, promiseText, showPolicy } from "./policy.js";
import { closeReceipt, startReceipts } from "./receipt.js";
import { session, startSession } from "./session.js";
import { showQuickStart, showQuickStartKey, startQuickStart } from "./start.js";
import { language, useLanguage } from "./text.js";
import { allowUsage, forgetUsage, openUsage, showUsage, startUsage } from "./usage.js";

const languages = ["en", "id"];
/** What a visitor who thinks of an account is told of it, out of the policy. */
const accountPromises = ["keep.account", "keep.session", "track.none"];
/** What an account may do with its session, as a key's scopes would say it. */
const accountFacts = { scopes: ["billing", "usage"] };

async function start() {
  const asked = new URLSearchParams(location.search).get("lang");
  // The address bar has a mail's token no longer than it takes to read it.
  let link = null;
  let isReady = false;
  startLinks((taken) => (isReady ? openLink(taken) : (link = taken)));
  await useLanguage(languages.includes(asked) ? asked : language);
  markLanguage();

  startPasswords();
  startAsking();
  startKeyPanel({ onOpen: openWithKey, onForget: forgetWithKey });
  startQuickStart();
  startBilling({ onRefresh: refreshBalance });
  startPlayground({ onAnswered: () => refreshBalance().catch(() => {}) });
  startAccess({ onConfirmed: () => session() && show("account-error", refreshAccount) });
  startAccount({ changed: showOwnData });
  startOverview();
  startUsage();
  startReceipts();
  startOwnKeys({ revoked: forgetKeyOf });
  startChangingKeys({ models: modelsOnOffer, done: () => show("own-keys-error", loadOwnKeys) });
  startNewKey({ made: () => show("own-keys-error", loadOwnKeys), shown: showQuickStartKey, open: openHere });
  startOwnData();
  startLanguages();
  startPages({ opened: openWhatIsShown });
  startSession(sessionChanged);
  showAll();
  isReady = true;
  if (link) openLink(link);
  await Promise.all([loadPrices(), loadPolicy()]);
  showAll();
}

function openWhatIsShown() {
  void openOverview();
  void openUsage();
}

function sessionChanged(why) {
  stopAsking();
  stopChangingKeys();
  closeReceipt();
  forgetAccount();
  forgetOwnKeys();
  forgetNewKey();
  forgetOwnData();
  forgetBilling();
  forgetOverview();
  forgetUsage();
  if (session()) openAccount();
  else leaveAccount(why);
}

function openAccount() {
  const wasAsked = byId("access").contains(document.activeElement);
  forgetDeletion();
  resetAccess();
  say(null);
  showAll();
  void show("account-error", refreshAccount);
  void show("own-keys-error", loadOwnKeys).then(showUsage);
  void openBilling(accountFacts);
  void openOverview();
  void allowUsage(accountFacts);
  if (wasAsked) byId(`${openPage()}-title`).focus();
}

/** The opened key may be the account's, so it goes too; one that was pasted is pasted again. */
function leaveAccount(why) {
  // One that ended by itself is taken up again where it was.
  if (why !== "ended") goTo("overview");
  forgetKey();
  resetAccess();
  showAll();
  if (why === "deleted") byId("deleted-title").focus();
  else tell(`session.${why}`);
}

async function show(errorId, load) {
  try {
    await load();
  } catch (error) {
    if (!isAbort(error)) showError(errorId, explain(error));
  }
}

const refreshBalance = () => Promise.all([refreshKey(), session() ? refreshAccount() : undefined]);

function openWithKey(facts) {
  if (!session()) {
    void openBilling(facts);
    void allowUsage(facts);
  }
  void showOffer(facts);
}

/** A new key is used here, and the playground is where that shows. */
async function openHere(key) {
  await openKey(key);
  goTo("playground");
}

async function showOffer({ scopes }) {
  const models = await loadModels();
  offerModels(scopes.includes("chat") ? models : []);
  showQuickStart(models.find((model) => model.kind === "chat")?.id ?? null);
}

function forgetWithKey() {
  forgetModels();
  forgetConversation();
  if (!session()) {
    forgetBilling();
    forgetUsage();
  }
  showQuickStart(null);
}

function showAll() {
  for (const one of document.querySelectorAll("[data-who]")) one.hidden = (one.dataset.who === "in") !== Boolean(session());
  byId("access-promises").replaceChildren(...accountPromises.map((id) => el("li", {}, promiseText(id))));
  showAccess();
  showAccount();
  showOwnKeys();
  showNewKeyForm(modelsOnOffer());
  showOwnData();
  showKey();
  showBilling();
  showModels();
  showOverview();
  showUsage();
  showQuickStart();
  showPolicy();
  showPage();
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

await start();
