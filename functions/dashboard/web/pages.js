/** Which page is open: its name stands behind `#`, and after a `?` what it shows: `#usage?status=4xx`. */
import { byId } from "./page.js";
import { t } from "./text.js";

const links = () => [...document.querySelectorAll("#sections a")];
const first = "overview";

let open = "";
let onOpen = () => {};

/** `opened(name)` runs with each page that is opened, and when what one is to show has changed. */
export function startPages({ opened }) {
  onOpen = opened;
  addEventListener("hashchange", follow);
  follow();
}

export const openPage = () => open;

/** What the page is to show, as it stands in the address. */
export const pageParameters = () => new URLSearchParams(location.hash.split("?")[1]);

/** Parameters that are empty are left out. */
export function addressOf(name, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return query ? `#${name}?${query}` : `#${name}`;
}

export function goTo(name, parameters) {
  const address = addressOf(name, parameters);
  if (location.hash !== address) history.pushState(null, "", address);
  follow();
}

function follow() {
  const [name] = location.hash.slice(1).split("?");
  const isPage = links().some((link) => link.hash === `#${name}`);
  // Another place on the page, such as the one that the skip link leads to.
  if (open && name && !isPage) return;
  const wasOpen = open;
  open = isPage ? name : first;
  for (const part of document.querySelectorAll("[data-page]")) part.toggleAttribute("data-open", part.dataset.page.split(" ").includes(open));
  showPage();
  onOpen(open);
  if (!wasOpen || wasOpen === open) return;
  scrollTo(0, 0);
  byId(`${open}-title`).focus({ preventScroll: true });
}

/** Marks the page in the navigation and names it in the title: also in another language. */
export function showPage() {
  const list = byId("sections");
  for (const link of links()) {
    if (link.hash !== `#${open}`) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      if (link.offsetParent) list.scrollLeft = link.offsetLeft - list.clientWidth / 2;
    }
  }
  document.title = open === first ? t("title") : `${byId(`${open}-title`).textContent} · Epithre`;
}
