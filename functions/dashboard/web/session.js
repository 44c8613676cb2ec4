/** The session: a JWT in the browser's local storage, the only item there, until it ends (keep.session). */

const item = "epithre-session";

let token = "";
/** Ends the calls that still run with a session that is over. */
let inUse = new AbortController();
let expiry;
let tell = () => {};

export const session = () => token;
export const sessionSignal = () => inUse.signal;

/** Takes up what a former visit left. `onChange(why)` runs with each change: `begun`, or `left` or `ended` when it is over. */
export function startSession(onChange) {
  tell = onChange;
  // Another tab has logged in or out; a page kept for the back button hears of it once it is shown again.
  addEventListener("storage", ({ key }) => (key === item || key === null) && follow());
  addEventListener("pageshow", ({ persisted }) => persisted && follow());
  follow();
}

export function beginSession(fresh) {
  localStorage.setItem(item, fresh);
  use(fresh, "begun");
}

/** `why` is `left` by the person's own will, or `ended` otherwise. */
export function endSession(why) {
  localStorage.removeItem(item);
  if (token) use("", why);
}

function follow() {
  const kept = localStorage.getItem(item) ?? "";
  if (kept === token) return;
  const isOver = kept !== "" && leftMs(kept) === 0;
  if (isOver) localStorage.removeItem(item);
  use(isOver ? "" : kept, isOver ? "ended" : kept ? "begun" : "left");
}

function use(next, why) {
  inUse.abort();
  inUse = new AbortController();
  token = next;
  clearTimeout(expiry);
  if (next) expiry = setTimeout(() => endSession("ended"), leftMs(next));
  tell(why);
}

/** Milliseconds until it expires; 0 for what is no JWT. */
function leftMs(jwt) {
  try {
    const claims = JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return Math.max(0, claims.exp * 1000 - Date.now()) || 0;
  } catch {
    return 0;
  }
}
