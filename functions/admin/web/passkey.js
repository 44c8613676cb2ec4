/** The two ceremonies of a passkey: to sign in, and to enrol by a link (WebAuthn level 3, in the browser's own JSON forms). */
import { ask, session } from "./api.js";
import { action, el, heading, note } from "./dom.js";

const supported = () => typeof PublicKeyCredential?.parseRequestOptionsFromJSON === "function";

async function ceremony(work) {
  if (!supported()) throw new Error("Cannot use a passkey: this browser is too old, or the page was not opened at localhost or by HTTPS");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "NotAllowedError") throw error;
    throw new Error("Cannot use a passkey: it was cancelled, took too long, or none is known for this address");
  }
}

export function signInPage(onSignedIn, reason) {
  return [
    heading("Sign in"),
    note(reason ?? "With the passkey that you enrolled here."),
    action("Sign in with a passkey", async () => {
      const { options } = await ask("/sign-in/options");
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
      const credential = await ceremony(() => navigator.credentials.get({ publicKey }));
      const { token } = await ask("/sign-in", { response: credential.toJSON() });
      session.begin(token);
      await onSignedIn();
    }),
    el("p", { class: "soft" }, "Lost it? Another operator can make you a new link, or somebody at the machine: ", el("code", {}, "npm run operator -- recover NAME")),
  ];
}

export function enrolPage(invite, onEnrolled) {
  return [
    heading("Enrol a passkey"),
    note("This link works once. The passkey stays on this device, or in its keychain."),
    action("Enrol a passkey", async () => {
      const { options } = await ask("/enrol/options", { invite });
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
      const credential = await ceremony(() => navigator.credentials.create({ publicKey }));
      await ask("/enrol", { invite, response: credential.toJSON() });
      onEnrolled();
    }),
  ];
}
