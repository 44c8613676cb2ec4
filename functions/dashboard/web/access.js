/** The way into the account: log in, sign up, a forgotten password, and what the links of mails ask for. */
import { read } from "./api.js";
import { clearForm, startForm } from "./form.js";
import { byId } from "./page.js";
import { beginSession, session } from "./session.js";
import { has, t } from "./text.js";

/** One of these is shown at a time. */
const forms = ["login", "signup", "forgot", "verify", "reset", "link"];

/** What came with the mail's link: in memory until it is used. */
let link = null;
let shown = "login";
/** The word of the notice, and what it names. */
let notice = null;
/** Where another mail can be asked for: the address, and the route. */
let again = null;

/** `onConfirmed()` runs once a link was used that does not log in. */
export function startAccess({ onConfirmed }) {
  for (const button of document.querySelectorAll("[data-access]")) {
    button.addEventListener("click", () => {
      link = null;
      say(null);
      show(button.dataset.access);
    });
  }
  startForm("login", { busy: "login.busy", work: async (values) => beginSession((await send("login", values)).token) });
  startForm("signup", {
    busy: "signup.busy",
    work: ({ email, password, name }) => send("signup", { email, password, ...(name && { name }) }),
    after: ({ email }) => mailed("verify/resend", email),
  });
  startForm("forgot", {
    busy: "forgot.busy",
    work: ({ email }) => send("password/reset-request", { email }),
    after: ({ email }) => mailed("password/reset-request", email),
  });
  startForm("verify", { busy: "verify.busy", work: async ({ password }) => beginSession((await use("verify", { password })).token) });
  startForm("reset", { busy: "reset.busy", work: async ({ password }) => beginSession((await use("password/reset", { password })).token) });
  startForm("link", {
    busy: "link.busy",
    work: () => use(link.purpose === "change_email" ? "email/confirm" : "delete/cancel", {}),
    after: () => {
      done();
      onConfirmed();
    },
  });
  startForm("again", { busy: "forgot.busy", done: "again.done", work: () => send(again.path, { email: again.email }) });
}

const send = (path, body) => read(`/v1/account/${path}`, { body });
const use = (path, body) => send(path, { token: link.token, ...body });

/** Shows what the link of a mail asks for. */
export function openLink(taken) {
  link = taken;
  say(null);
  show({ verify_email: "verify", reset_password: "reset" }[taken.purpose] ?? "link");
}

function done() {
  const { purpose } = link;
  link = null;
  shown = "login";
  tell(`link.done.${purpose}`);
}

function mailed(path, email) {
  again = { path, email };
  shown = "login";
  tell("mailed", { email });
}

/** A notice that has the focus, so that it is read, too. */
export function tell(word, values) {
  say(word, values);
  byId("access-notice").focus();
}

/** A notice above the forms, in the page's language. `null` takes it away. */
export function say(word, values) {
  notice = word && { word, values };
  if (notice?.word !== "mailed") again = null;
  showAccess();
}

export function forgetAccess() {
  link = again = null;
  for (const name of forms) clearForm(name);
}

function show(name) {
  shown = name;
  showAccess();
  (byId(`${name}-form`).querySelector("input") ?? byId(`${name}-title`)).focus();
}

/** Back to the beginning, without moving the focus. */
export function resetAccess() {
  forgetAccess();
  shown = "login";
  showAccess();
}

/** Draws it again: another form, or in another language. */
export function showAccess() {
  // A link's form, and what came of it, is there for whoever is logged in, too.
  byId("access").hidden = Boolean(session()) && !link;
  byId("account").hidden = Boolean(session()) && !link && !notice;
  for (const name of forms) byId(`${name}-form`).hidden = name !== shown;
  byId("access-notice").hidden = !notice;
  byId("access-notice").textContent = notice ? t(notice.word, notice.values) : "";
  byId("again-form").hidden = !again;
  const of = (part) => `link.${part}.${link?.purpose}`;
  byId("link-title").textContent = has(of("title")) ? t(of("title")) : "";
  byId("link-text").textContent = has(of("text")) ? t(of("text")) : "";
  byId("link-send").textContent = has(of("send")) ? t(of("send")) : "";
}
