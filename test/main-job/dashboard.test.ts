/** A person's whole way through the dashboard in a browser, against the product as it is started. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser, openPage, overflows, picture, press, sees } from "../support/browser.ts";
import { linkTo } from "../support/mailbox.ts";
import { sharedStack } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

let stack: Stack;
let browser: Browser;
let downloads: string;

beforeAll(async () => {
  stack = sharedStack();
  browser = await launchBrowser();
  downloads = mkdtempSync(join(tmpdir(), "epithre-downloads-"));
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await stack?.close();
  rmSync(downloads, { recursive: true, force: true });
});

const password = "four plain words here";
const ampleMicro = 50_000_000_000;

/** Types into the field with this id: labels such as `Password` are there several times. */
async function type(page: Page, id: string, text: string): Promise<void> {
  await page.locator(`#${id}`).fill(text);
}

const submit = (page: Page, form: string) => page.locator(`#${form}-form [type=submit]`).click();
const click = (page: Page, id: string) => page.locator(`#${id}`).click();

/** All that the browser keeps for the page. */
const kept = (page: Page) =>
  page.evaluate(async () => ({
    cookie: document.cookie,
    local: Object.entries(localStorage).map(([name, value]) => [name, (value as string).split(".").length]),
    session: sessionStorage.length,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
  }));
const nothing = { cookie: "", local: [], session: 0, databases: 0, caches: 0 };
/** A JWT has three parts. */
const onlySession = { ...nothing, local: [["epithre-session", 3]] };

async function signUp(page: Page, email: string): Promise<void> {
  await press(page, "Create an account");
  await type(page, "signup-email", email);
  await type(page, "signup-password", password);
  await type(page, "signup-name", "Somebody");
  await submit(page, "signup");
  await sees(page, `If there is something to do for ${email}`);
}

/** Opens the link of a mail as its reader does, with the page open already. */
async function openLinkOf(page: Page, email: string, purpose: string): Promise<void> {
  await page.goto(await linkTo(stack, email, purpose));
  await page.waitForFunction(() => location.hash === "");
}

/** A page with an account that is logged in. */
async function newcomer(options = {}) {
  const email = `${randomUUID()}@example.com`;
  const watched = await openPage(browser, `${stack.dashboardUrl}?lang=en`, options);
  await signUp(watched.page, email);
  await openLinkOf(watched.page, email, "verify_email");
  await type(watched.page, "verify-password", password);
  await submit(watched.page, "verify");
  await sees(watched.page, "Log out everywhere");
  const [person] = await stack.sql<{ id: string }[]>`select account_id as id from persons where email = ${email}`;
  return { ...watched, email, accountId: person!.id };
}

const hasBalance = (page: Page, amount: string) =>
  page.waitForFunction((wanted) => document.getElementById("account-balance")!.textContent!.endsWith(wanted), {}, amount);

async function createKey(page: Page, name: string): Promise<string> {
  await type(page, "newkey-name", name);
  await submit(page, "newkey");
  await page.waitForSelector("#fresh:not([hidden])");
  return page.$eval("#fresh-key", (element) => element.textContent!);
}

describe("the dashboard in a browser", () => {
  test("leads from the mail of the signup over the first answer to the end of the account (keep.session, track.none, right.access, right.correct, right.delete)", async () => {
    const { page, complaints, email, accountId } = await newcomer();
    await stack.operator.credit(accountId, ampleMicro);
    expect(await kept(page)).toEqual(onlySession);
    expect(page.url()).not.toContain("verify_email");
    // A reload goes on with the session, and the link's token is nowhere in the history.
    await page.reload();
    await hasBalance(page, "50,000.00");
    await page.goBack();
    expect(page.url()).not.toContain("verify_email");
    await page.goForward();
    await hasBalance(page, "50,000.00");

    const key = await createKey(page, "first");
    expect(key).toMatch(/^ep_\w{46}$/);
    expect(await page.$eval("#code-curl", (element) => element.textContent)).toContain(key);
    await waitFor("the proxy to know the key", async () => (await fetch(`${stack.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).status === 200);
    await press(page, "Try it in the playground");
    await page.waitForSelector("#playground-form:not([hidden])");
    await page.select("#playground-model", "simulated-chat");
    await type(page, "playground-prompt", "Halo");
    await press(page, "Send");
    await sees(page, "ms to the first token");
    await click(page, "fresh-close");
    expect(await page.content()).not.toContain(key);

    await press(page, `Revoke: first, ${key.slice(0, 12)}`);
    await click(page, "ask-confirm");
    await sees(page, "No key works yet.");
    // The playground forgets it at once, the API within a second.
    expect(await page.$eval("#playground-form", (form) => (form as HTMLElement).hidden)).toBe(true);
    await waitFor("the key to be refused", async () => (await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status === 401);

    await type(page, "name-input", "Somebody Else");
    await submit(page, "name");
    await waitFor("the name to be corrected", async () => (await stack.sql`select from persons where account_id = ${accountId} and name = 'Somebody Else'`).length === 1);

    await (await page.createCDPSession()).send("Page.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    await press(page, "Download copy (JSON)");
    await waitFor("the copy of the data", () => readdirSync(downloads).includes("epithre-account.json"));
    const copy = JSON.parse(readFileSync(join(downloads, "epithre-account.json"), "utf8"));
    expect(copy.account_id).toBe(accountId);
    expect(JSON.stringify(copy)).toContain(email);

    await type(page, "delete-password", password);
    await submit(page, "delete");
    await click(page, "ask-confirm");
    await sees(page, "The account has credit left.");
    await page.locator("#forfeit-row input").click();
    await type(page, "delete-password", password);
    await submit(page, "delete");
    await click(page, "ask-confirm");
    await sees(page, "Your account is closed");
    await sees(page, "7 years after the event");
    expect(await kept(page)).toEqual(nothing);
    expect((await stack.sql`select status from accounts where id = ${accountId}`)[0]!.status).toBe("closed");

    await openLinkOf(page, email, "cancel_deletion");
    await press(page, "Open the account again");
    await sees(page, "The account is open again.");
    await type(page, "login-email", email);
    await type(page, "login-password", password);
    await submit(page, "login");
    await sees(page, "Log out everywhere");
    await press(page, "Log out");
    await sees(page, "You are logged out.");
    expect(await kept(page)).toEqual(nothing);
    expect(await browser.cookies()).toEqual([]);
    // What the API refused on purpose is all that the browser complains of.
    expect(complaints.filter((complaint) => !/status of 409/.test(complaint))).toEqual([]);
    await page.close();
  }, 120_000);
});
