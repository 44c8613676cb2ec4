/** Whether evidence is what was signed, and what it says. */
import { openReceipt, type ReceiptKey, ReceiptRefused } from "#shared/receipts.ts";

/** Hours that evidence counts, as on the page. */
const evidenceHoursMax = 2;
const hourMs = 3_600_000;

interface Shown {
  judged_at: string;
  policy: { version: string };
  promises: { id: string; state: string }[];
}

/**
 * Answers what it says, in words. `text` is the file, byte for byte. Throws ReceiptRefused, in words too, when it is not
 * what one of the keys signed, or was judged too long before `nowMs`.
 */
export function checkEvidence(text: string, keys: readonly ReceiptKey[], nowMs: number): string {
  const signature = signatureIn(text);
  const { type, statement, keyId } = openReceipt(signature, keys);
  if (type !== "epithre-evidence-v1") throw refused("it holds a signed statement about something else");
  // One text only: whoever changes a byte of it has another one.
  if (JSON.stringify({ ...statement, signature }) !== text) throw refused("what it shows is not what was signed");
  const { judged_at: at, policy, promises } = statement as unknown as Shown;
  const hours = (nowMs - Date.parse(at)) / hourMs;
  if (!(hours <= evidenceHoursMax)) throw refused(`it is of ${at}, more than ${evidenceHoursMax} hours ago: ask for it anew, or give that time as --at`);
  const red = promises.filter(({ state }) => state !== "kept");
  const all = `${promises.length} promises of version ${policy.version}`;
  const said = red.length === 0 ? `all ${all} are kept` : `of ${all} these are red: ${red.map(({ id, state }) => `${id} (${state})`).join(", ")}`;
  return `${said}; signed at ${at} with key ${keyId}`;
}

function signatureIn(text: string): string {
  try {
    const { signature } = JSON.parse(text) as { signature: unknown };
    if (typeof signature === "string") return signature;
  } catch {
    // It is no JSON.
  }
  throw refused("it is not JSON with a member `signature`");
}

const refused = (problem: string) => new ReceiptRefused(`Cannot verify evidence: ${problem}`);
