/** What a person does in the dashboard, by the ids of its fields: labels such as `Password` are there several times. */
import { randomUUID } from "node:crypto";
import type { Browser, Page } from "puppeteer-core";
import { openPage, press, sees, type PageOptions, type Watched } from "./browser.ts";
import { linkTo } from "./mailbox.ts";
import type { Stack } from "./stack.ts";

export const password = "four plain words here";

/** The pages of the dashboard, as their addresses name them. */
export const tabs = ["overview", "usage", "key", "billing", "playground", "start", "models", "profile", "policy"] as const;

export async function type(page: Page, id: string, text: string): Promise<void> {
  await page.locator(`#${id}`).fill(text);
}

export const submit = (page: Page, form: string) => page.locator(`#${form}-form [type=submit]`).click();
export const click = (page: Page, id: string) => page.locator(`#${id}`).click();

/** Opens a page as one does: by its link. */
export async function openTab(page: Page, name: (typeof tabs)[number]): Promise<void> {
  await page.locator(`#sections li:not([hidden]) a[href="#${name}"]`).click();
  await page.waitForSelector(`#${name}[data-open]`);
}

export const loggedIn = (page: Page) => page.waitForSelector("#account-bar:not([hidden])");

export async function signUp(page: Page, email: string): Promise<void> {
  await press(page, "Create an account");
  await type(page, "signup-email", email);
  await type(page, "signup-password", password);
  await type(page, "signup-name", "Somebody");
  await submit(page, "signup");
  await sees(page, `If there is something to do for ${email}`);
}

/** Opens the link of a mail as its reader does, with the page open already. */
export async function openLinkOf(stack: Stack, page: Page, email: string, purpose: string): Promise<void> {
  await page.goto(await linkTo(stack, email, purpose));
  await page.waitForFunction(() => location.hash === "");
}

export interface Newcomer extends Watched {
  email: string;
  accountId: string;
}

/** A page with an account that is logged in. */
export async function newcomer(stack: Stack, browser: Browser, options: PageOptions = {}): Promise<Newcomer> {
  const email = `somebody.${randomUUID().slice(0, 8)}@example.com`;
  const watched = await openPage(browser, `${stack.dashboardUrl}?lang=en`, options);
  await signUp(watched.page, email);
  await openLinkOf(stack, watched.page, email, "verify_email");
  await type(watched.page, "verify-password", password);
  await submit(watched.page, "verify");
  await loggedIn(watched.page);
  const [person] = await stack.sql<{ id: string }[]>`select account_id as id from persons where email = ${email}`;
  return { ...watched, email, accountId: person!.id };
}

/** On the page of the keys. */
export async function createKey(page: Page, name: string): Promise<string> {
  await openTab(page, "key");
  await type(page, "newkey-name", name);
  await submit(page, "newkey");
  await page.waitForSelector("#fresh:not([hidden])");
  return page.$eval("#fresh-key", (element) => element.textContent!);
}
