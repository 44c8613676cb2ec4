/** Elements, tables and forms. Text goes in as text nodes only, so nothing that admin answers can become markup. */

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`undefined`, `null` and `false` leave one out, `true` sets it empty) and children. */
export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Says it to screen readers without showing it. */
export function announce(text) {
  byId("status").textContent = text;
}

export const heading = (text, ...more) => el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, text), ...more);
export const section = (title, ...children) => el("section", { "aria-label": title }, el("h2", {}, title), ...children);
export const note = (text) => el("p", { class: "note" }, text);
export const mono = (text) => el("code", {}, text);
export const badge = (text, tone) => el("span", { class: `badge ${tone ?? ""}` }, text);

/** A table; a narrow screen shows each row as a card. `columns`: titles, or {title, number}. Cells: text or elements. */
export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return note(empty);
  const known = columns.map((column) => (typeof column === "string" ? { title: column } : column));
  const kind = (index) => (known[index].number ? "number" : undefined);
  return el(
    "table",
    { role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, known.map(({ title }, index) => el("th", { scope: "col", role: "columnheader", class: kind(index) }, title)))),
    el("tbody", { role: "rowgroup" }, rows.map((cells) =>
      el("tr", { role: "row" }, cells.map((cell, index) => el("td", { role: "cell", class: kind(index), "data-label": known[index].title }, cell ?? "–"))),
    )),
  );
}

/** Names with what they stand for. */
export const facts = (pairs) => el("dl", {}, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value ?? "–"))));

/** `<label>` around an input, which is given with its `name`. */
export const field = (label, input) => el("label", {}, el("span", {}, label), input);
export const input = (name, attributes) => el("input", { name, autocomplete: "off", spellcheck: "false", ...attributes });
export const select = (name, choices, chosen) =>
  el("select", { name }, choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice.replaceAll("_", " ")];
    return el("option", { value, selected: value === chosen }, text);
  }));

/**
 * A form that does `work` with its values, one at a time; what it throws is shown under it, what it answers is said.
 * `danger` asks first, in the words that it has.
 */
export function form(fields, label, work, { danger, inline } = {}) {
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const button = el("button", { type: "submit", class: danger ? "danger" : undefined }, label);
  const element = el("form", { class: inline ? "inline" : undefined }, fields, button, problem);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    problem.hidden = true;
    try {
      if (danger && !(await confirmed(danger, label))) return;
      const said = await work(Object.fromEntries(new FormData(element)));
      if (typeof said === "string") announce(said);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
  return element;
}

/** A form of a button alone. */
export const action = (label, work, options = {}) => form([], label, work, { inline: true, ...options });

function confirmed(question, label) {
  const dialog = el(
    "dialog",
    { "aria-label": label },
    el("form", { method: "dialog" }, el("p", {}, question), el("div", { class: "row" }, el("button", { value: "yes", class: "danger" }, label), el("button", { value: "no", class: "quiet" }, "Cancel"))),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((settle) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      settle(dialog.returnValue === "yes");
    });
  });
}
