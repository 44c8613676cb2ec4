/**
 * Charts of one figure a day, as SVG: bars, or lines. They stretch with the page, so all words stand beside them in HTML;
 * what a series is shows in its form, not in its colour alone. The table by day has the same figures.
 */
import { el } from "./page.js";

/** Units of the drawing: it is stretched to whatever room there is. */
const width = 600;
const height = 120;
/** Share of a day's room that its bar leaves free. */
const gap = 0.28;
/** Units that a bar has at least where there is something. */
const barMin = 1.5;

let made = 0;

/**
 * `series`: `{ name, kind, values }` each, with a number or null for each day; kinds are `solid`, `hollow` (on top of
 * the solid ones), `bad`, `line`, `dashed`. `figure` and `hint` are the words above it, `described` those for who does not see it,
 * `said(index)` those for the day that is pointed at, `axis` the words of the days, `format(value)` those of its top.
 */
export function chart({ title, figure, hint, described, series, said, axis, format }) {
  const id = `chart-${(made += 1)}`;
  const days = series[0].values.length;
  const sums = Array.from({ length: days }, (_, day) => series.map(({ values }) => values[day] ?? 0));
  const isStack = series.every(({ kind }) => kind === "solid" || kind === "hollow" || kind === "bad");
  const top = roundTop(Math.max(...sums.map((parts) => (isStack ? parts.reduce((all, part) => all + part, 0) : Math.max(...parts)))));
  const pointed = svg("rect", { class: "pointed", height, width: 0 });
  const drawn = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-labelledby": `${id}-title ${id}-desc` },
    svg("title", { id: `${id}-title` }, title),
    svg("desc", { id: `${id}-desc` }, described),
    pointed,
    ...[0, height / 2, height].map((y) => svg("path", { class: "grid", d: `M0 ${y}H${width}` })),
    ...(isStack ? bars(series, top) : series.map((one) => line(one, top))),
  );
  const words = el("p", { class: "hint" }, hint);
  const show = (day) => {
    words.textContent = day === undefined ? hint : said(day);
    pointed.setAttribute("x", ((day ?? 0) * width) / days);
    pointed.setAttribute("width", day === undefined ? 0 : width / days);
  };
  drawn.addEventListener("pointermove", ({ offsetX }) => show(Math.min(days - 1, Math.max(0, Math.floor((offsetX / drawn.clientWidth) * days)))));
  drawn.addEventListener("pointerleave", () => show());
  return el(
    "figure",
    { class: "card chart" },
    el("figcaption", {}, el("h3", {}, title), el("p", { class: "figure" }, figure), words, ...(series.length > 1 ? [legend(series)] : [])),
    el("div", { class: "plot" }, el("span", { class: "top", "aria-hidden": "true" }, format(top)), drawn),
    el("div", { class: "axis", "aria-hidden": "true" }, ...axis.map((text) => el("span", {}, text))),
  );
}

/** A bar as wide as its share, for a cell that says the figure in words. */
export function shareBar(share) {
  return svg("svg", { class: "share", "aria-hidden": "true" }, svg("rect", { width: `${Math.max(share * 100, share > 0 ? 1 : 0)}%`, height: "100%", rx: 2 }));
}

function bars(series, top) {
  const filled = series[0].values.map(() => 0);
  return series.flatMap(({ kind, values }) =>
    values.flatMap((value, day) => {
      if (!value) return [];
      const room = width / values.length;
      const tall = Math.max((value / top) * height, barMin);
      filled[day] += tall;
      return [svg("rect", { class: kind, x: (day + gap / 2) * room, y: height - filled[day], width: room * (1 - gap), height: tall })];
    }),
  );
}

/** A day without a figure leaves a gap; one alone is a dot, which a line of no length with round ends is. */
function line({ kind, values }, top) {
  const room = width / values.length;
  const path = values.map((value, day) => {
    if (value === null) return "";
    const point = `${(day + 0.5) * room} ${height - (value / top) * height}`;
    return (values[day - 1] ?? null) === null ? `M${point}h.01` : `L${point}`;
  });
  return svg("path", { class: kind, d: path.join("") });
}

const legend = (series) => el("ul", { class: "legend" }, ...series.map(({ name, kind }) => el("li", {}, el("span", { class: `sample ${kind}`, "aria-hidden": "true" }), name)));

/** The next round number: the top of a chart is one. */
function roundTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value) * power;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
