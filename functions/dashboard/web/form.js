/** Forms of the account: what was typed is checked in the page's own words, then sent once. */
import { byId, showError } from "./page.js";
import { runTask } from "./task.js";
import { t } from "./text.js";

/** Characters of a new password at least: the API's own rule. */
const passwordLengthMin = 12;

/**
 * On submit `work(values)` runs with what the fields hold by their names, as runTask runs it. Once it went well the
 * passwords are forgotten, and `after(values)` runs. The button that submits says `busy` meanwhile; the element
 * `NAME-error` of the form `NAME-form` shows what went wrong.
 */
export function startForm(name, { busy, done, work, after = () => {} }) {
  const form = byId(`${name}-form`);
  const errorId = `${name}-error`;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = [...form.elements].find((field) => problemWith(field));
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    if (wrong) {
      showError(errorId, problemWith(wrong));
      wrong.setAttribute("aria-invalid", "true");
      return wrong.focus();
    }
    const values = valuesOf(form);
    const went = await runTask(form.querySelector("[type=submit]"), { busy: t(busy), done: done && t(done), errorId, task: name }, () => work(values));
    if (!went) return;
    clearPasswords(form);
    after(values);
  });
}

export function clearForm(name) {
  byId(`${name}-form`).reset();
  showError(`${name}-error`, undefined);
}

function clearPasswords(form) {
  for (const field of form.querySelectorAll(".password input")) field.value = "";
}

/** A password stands as it was typed; spaces around anything else are none of it. */
function valuesOf(form) {
  const named = [...form.elements].filter((field) => field.name && (field.type !== "checkbox" || field.checked));
  return Object.fromEntries(named.map((field) => [field.name, field.closest(".password") ? field.value : field.value.trim()]));
}

/** In words; undefined where the field can be sent. */
function problemWith(field) {
  if (!field.willValidate || field.closest("[hidden]")) return undefined;
  if (field.autocomplete === "new-password" && [...field.value].length < passwordLengthMin) return t("form.password", { min: passwordLengthMin });
  if (field.validity.valid) return undefined;
  if (field.validity.customError) return field.validationMessage;
  return t(field.type === "email" ? "form.email" : field.validity.valueMissing ? "form.missing" : "form.wrong", { label: field.labels[0]?.textContent.trim() });
}

/** Each password can be seen while it is typed. */
export function startPasswords() {
  for (const box of document.querySelectorAll(".password")) {
    const [input, button] = [box.querySelector("input"), box.querySelector("button")];
    button.addEventListener("click", () => {
      const isShown = input.type === "text";
      input.type = isShown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!isShown));
    });
  }
}
