/** Links of mails. Their token stands behind `#`, and leaves the address bar, and with it the history, at once. */

const purposes = ["verify_email", "reset_password", "change_email", "cancel_deletion"];

/** `onLink({ purpose, token })` runs for the link that opened the page, and for one that comes while it is open. */
export function startLinks(onLink) {
  const take = () => {
    const [purpose, token] = location.hash.slice(1).split("=");
    if (!token || !purposes.includes(purpose)) return;
    history.replaceState(null, "", location.pathname + location.search);
    onLink({ purpose, token });
  };
  addEventListener("hashchange", take);
  take();
}
