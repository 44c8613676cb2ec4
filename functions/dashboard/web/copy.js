/** Copies for the person: onto the clipboard, or by leaving the text selected. */
import { announce } from "./page.js";
import { t } from "./text.js";

/** Milliseconds for which the button says that it copied. */
const copiedForMs = 2_000;

/** `shown` is the element that shows `text`. */
export async function copy(text, shown, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without TLS or without the right: leave it selected.
    getSelection().selectAllChildren(shown);
    return announce(t("copy.manually"));
  }
  announce(t("copied"));
  button.textContent = t("copied");
  setTimeout(() => (button.textContent = t("copy")), copiedForMs);
}
