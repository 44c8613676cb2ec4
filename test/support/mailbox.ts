/** Mail as it came over SMTP into the folder of a running stack. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "./stack.ts";
import { waitFor } from "./wait.ts";

/** The link of the newest mail to this address that has one for the purpose. */
export async function linkTo(stack: Stack, email: string, purpose: string): Promise<string> {
  return waitFor(`mail with ${purpose}`, async () => {
    await fetch(`${stack.url}/function/notify`, { method: "POST" });
    const files = readdirSync(stack.mailDir).filter((name) => /^[^.].*\.eml$/.test(name)).sort().reverse();
    const mails = files.map((name) => readFileSync(join(stack.mailDir, name), "utf8").replaceAll("=\r\n", "").replaceAll("=3D", "="));
    const start = `${stack.dashboardUrl}#${purpose}=`;
    const mail = mails.find((each) => each.includes(email) && each.includes(start));
    return mail && start + new RegExp(`#${purpose}=([\\w-]{43})`).exec(mail)![1];
  });
}
