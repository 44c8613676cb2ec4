/** Small helpers for the document. Text goes in as text nodes only, so nothing an API answers can become markup. */

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`undefined` and `false` leave one out, `true` sets it empty) and children. */
export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A button that runs `onClick` with itself. */
export function button(text, onClick, attributes) {
  const element = el("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", () => onClick(element));
  return element;
}

/** The smaller line below what a cell says. */
export const under = (text, attributes) => el("span", { class: "under", ...attributes }, text);

/** Says it to screen readers without showing it. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Shows `text` in an alert, or hides the alert when there is none. */
export function showError(id, text) {
  const element = byId(id);
  element.textContent = text ?? "";
  element.hidden = !text;
}

/**
 * A table that a narrow screen shows as cards. The roles are written out because a browser drops the ones it knows
 * once CSS changes the display; the labels are for the cards.
 */
export function table(caption, columns, rows) {
  const head = columns.map((column) =>
    el("th", { scope: "col", role: "columnheader", class: classOf(column) }, column.title),
  );
  const body = rows.map((cells) =>
    el(
      "tr",
      { role: "row" },
      ...cells.map((cell, index) =>
        el(
          index === 0 ? "th" : "td",
          {
            role: index === 0 ? "rowheader" : "cell",
            scope: index === 0 && "row",
            class: classOf(columns[index]),
            "data-label": columns[index].title,
          },
          ...[cell].flat(),
        ),
      ),
    ),
  );
  return el(
    "table",
    { role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)),
    el("tbody", { role: "rowgroup" }, ...body),
  );
}

/** Numbers stand at the right, and so do the buttons of a row. */
const classOf = ({ number, buttons }) => (number ? "number" : buttons && "row-buttons");

/** Runs `work` with the button disabled and saying `busyText`; restores it afterwards. */
export async function whileBusy(button, busyText, work) {
  const text = button.textContent;
  button.setAttribute("aria-disabled", "true");
  button.textContent = busyText;
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = text;
  }
}

export const isBusy = (button) => button.getAttribute("aria-disabled") === "true";
