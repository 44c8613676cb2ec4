/** What a button starts: a call of the API that says how it went, and a file that it saves. */
import { call, explain, isAbort } from "./api.js";
import { announce, el, isBusy, showError, whileBusy } from "./page.js";

/**
 * Runs `work` once at a time for each button, which says `busy` meanwhile. Then `done` is announced, or the element
 * `errorId` shows what went wrong; `task` names the errors that have words of their own. True when it went well.
 */
export async function runTask(button, { busy, done, errorId, task }, work) {
  if (isBusy(button)) return false;
  showError(errorId, undefined);
  try {
    await whileBusy(button, busy, work);
    if (done) announce(done);
    return true;
  } catch (error) {
    if (!isAbort(error)) showError(errorId, explain(error, task));
    return false;
  }
}

/** Fetched with the key in its header and saved from memory: no address ever carries a key. `name` where the API gives none. */
export async function save(path, accept, name) {
  const response = await call(path, { accept });
  const [, named] = /filename="([\w.-]+)"/.exec(response.headers.get("content-disposition") ?? "") ?? [];
  const url = URL.createObjectURL(await response.blob());
  el("a", { href: url, download: named ?? name }).click();
  URL.revokeObjectURL(url);
}
