/** A real Chromium (the one that its npm package ships), and pages of it that note what they should not do. */
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import chromium from "@sparticuz/chromium";
import puppeteer, { type Browser, type Page } from "puppeteer-core";

/** Milliseconds for something to come up on a busy machine. */
const patienceMs = 15_000;

export async function launchBrowser(): Promise<Browser> {
  return puppeteer.launch({ executablePath: await chromium.executablePath(), args: chromium.args, headless: "shell" });
}

export interface Watched {
  page: Page;
  /** Errors of scripts, refusals of the content security policy, requests to another origin. */
  complaints: string[];
}

/** The windows that pages must fit, in pixels. */
export const devices = [["desktop", 1280], ["phone", 390]] as const;
export const schemes = ["light", "dark"] as const;

export interface PageOptions {
  width?: number;
  scheme?: (typeof schemes)[number];
}

export async function openPage(browser: Browser, url: string, { width = 1280, scheme = "light" }: PageOptions = {}): Promise<Watched> {
  const page = await browser.newPage();
  const { origin } = new URL(url);
  const complaints: string[] = [];
  page.setDefaultTimeout(patienceMs);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())));
  page.on("request", (request) => void (!request.url().startsWith(`${origin}/`) && !/^(data|blob):/.test(request.url()) && complaints.push(request.url())));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }]);
  await page.goto(url);
  return { page, complaints };
}

/** An authenticator that has the person's finger on it: passkeys are made and used without asking. */
export async function addAuthenticator(page: Page): Promise<void> {
  const session = await page.createCDPSession();
  await session.send("WebAuthn.enable");
  await session.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
}

/** Clicks the button of this name. */
export async function press(page: Page, name: string): Promise<void> {
  await page.locator(`::-p-aria([name="${name}"][role="button"])`).click();
}

/** Clicks the link of this name. */
export async function follow(page: Page, name: string): Promise<void> {
  await page.locator(`::-p-aria([name="${name}"][role="link"])`).click();
}

export async function fill(page: Page, label: string, text: string): Promise<void> {
  await page.locator(`::-p-aria(${label})`).fill(text);
}

/** Waits until the page shows this text. */
export async function sees(page: Page, text: string): Promise<void> {
  await page.waitForFunction((wanted) => document.body.innerText.includes(wanted), {}, text).catch(async () => {
    throw new Error(`Waited in vain for "${text}"; the page shows: ${await page.evaluate(() => document.body.innerText.slice(0, 1_000))}`);
  });
}

/** Whether something is wider than the window. */
export const overflows = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * What axe-core finds wrong with the page as it is now, each with where. It runs in a world of its own, as extensions do:
 * the page's content security policy stays as it is.
 */
export async function violations(page: Page): Promise<string[]> {
  const session = await page.createCDPSession();
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const run = `${axe};axe.run(document).then(({ violations, passes }) => [passes.length, violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => id + ": " + node.html.slice(0, 160) + " " + node.failureSummary))])`;
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression: run, contextId: executionContextId, awaitPromise: true, returnByValue: true });
  await session.detach();
  const [passes, found] = (result.value ?? [0, []]) as [number, string[]];
  if (exceptionDetails || passes === 0) throw new Error("Cannot look for what is not accessible: axe-core did not run");
  return found;
}

/** Writes a picture of the whole page, or of the window, into the folder that EPITHRE_SCREENSHOTS names, where it does. */
export async function picture(page: Page, name: string, fullPage = true): Promise<void> {
  const folder = process.env["EPITHRE_SCREENSHOTS"];
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) as `${string}.png`, fullPage });
}
