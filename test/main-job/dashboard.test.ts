/** A person's whole way through the dashboard in a browser, against the product as it is started. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser, openPage, press, sees } from "../support/browser.ts";
import { click, createKey, loggedIn, newcomer as newcomerOf, openLinkOf as openMailLink, openTab, password, submit, type } from "../support/dashboard.ts";
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

/** Each test begins logged out, as one browser that all of them share. */
afterEach(async () => {
  const { page } = await openPage(browser, stack.dashboardUrl);
  await page.evaluate(() => localStorage.clear());
  await page.close();
});

const run = promisify(execFile);
const ampleMicro = 50_000_000_000;

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

const newcomer = (options = {}) => newcomerOf(stack, browser, options);
const openLinkOf = (page: Page, email: string, purpose: string) => openMailLink(stack, page, email, purpose);

const hasBalance = (page: Page, amount: string) =>
  page.waitForFunction((wanted) => document.getElementById("account-balance")!.textContent!.endsWith(wanted), {}, amount);

describe("the dashboard in a browser", () => {
  test("leads from the mail of the signup over the first answer to the end of the account (keep.session, track.none, right.access, right.correct, right.delete)", async () => {
    const { page, complaints, email, accountId } = await newcomer();
    await stack.operator.credit(accountId, ampleMicro);
    expect(await kept(page)).toEqual(onlySession);
    await openTab(page, "billing");
    await sees(page, "The alert is off.");
    expect(page.url()).not.toContain("verify_email");
    // A reload goes on with the session, and the link's token is nowhere in the history.
    await page.reload();
    await hasBalance(page, "50,000.00");
    await page.goBack();
    await page.goBack();
    expect(page.url()).not.toContain("verify_email");
    await page.goForward();
    await hasBalance(page, "50,000.00");

    const key = await createKey(page, "first");
    expect(key).toMatch(/^ep_\w{46}$/);
    expect(await page.$eval("#code-curl", (element) => element.textContent)).toContain(key);
    await waitFor("the proxy to know the key", async () => (await fetch(`${stack.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).status === 200);
    // The lines to paste work as they stand.
    const lines = async (language: string) => (await page.$eval(`#code-${language}`, (element) => element.textContent!)).trim();
    const [, address, body] = /curl (\S+) [\s\S]*-d '([\s\S]*)'$/.exec(await lines("curl"))!;
    const pasted = await fetch(address!, { method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: body! });
    expect([pasted.status, address]).toEqual([200, `${stack.url}/v1/chat/completions`]);
    const { stdout } = await run(process.execPath, ["--input-type=module-typescript", "--eval", await lines("typescript")], { env: { ...process.env, EPITHRE_API_KEY: key } });
    expect(stdout.length).toBeGreaterThan(0);
    expect(await lines("python")).toContain(`base_url="${stack.url}/v1"`);
    expect(await lines("python")).toContain('model="simulated-chat"');
    await openTab(page, "key");
    await press(page, "Try it in the playground");
    await page.waitForSelector("#playground-form:not([hidden])");
    await page.select("#playground-model", "simulated-chat");
    await type(page, "playground-prompt", "Halo");
    await press(page, "Send");
    await sees(page, "ms to the first token");
    await openTab(page, "key");
    await click(page, "fresh-close");
    expect(await page.content()).not.toContain(key);

    await press(page, `Revoke: first, ${key.slice(0, 12)}`);
    await click(page, "ask-confirm");
    await sees(page, "No key works yet.");
    // The playground forgets it at once, the API within a second.
    expect(await page.$eval("#playground-form", (form) => (form as HTMLElement).hidden)).toBe(true);
    await waitFor("the key to be refused", async () => (await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status === 401);

    await openTab(page, "profile");
    await type(page, "name-input", "Somebody Else");
    await submit(page, "name");
    await waitFor("the name to be corrected", async () => (await stack.sql`select from persons where account_id = ${accountId} and name = 'Somebody Else'`).length === 1);

    await (await page.createCDPSession()).send("Page.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    await press(page, "Download copy (JSON)");
    await waitFor("the copy of the data", () => readdirSync(downloads).includes("epithre-account.json"));
    const copy = JSON.parse(readFileSync(join(downloads, "epithre-account.json"), "utf8"));
    expect(copy.account_id).toBe(accountId);
    expect(JSON.stringify(copy)).toContain(email);
    await waitFor("the call to be settled", async () => (await stack.sql`select from usage_events where account_id = ${accountId}`).length === 3);
    await click(page, "data-usage");
    const csv = await waitFor("the usage as CSV", () => readdirSync(downloads).find((name) => name.endsWith(".csv")));
    expect(readFileSync(join(downloads, csv), "utf8")).toContain("simulated-chat");

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
    await loggedIn(page);
    await press(page, "Log out");
    await sees(page, "You are logged out.");
    expect(await kept(page)).toEqual(nothing);
    expect(await browser.cookies()).toEqual([]);
    // What the API refused on purpose is all that the browser complains of.
    expect(complaints.filter((complaint) => !/status of 409/.test(complaint))).toEqual([]);
    await page.close();
  }, 120_000);

  test("opens with a key alone, which is in the page's memory only (content.none)", async () => {
    const { page, complaints } = await openPage(browser, stack.dashboardUrl);
    await openTab(page, "key");
    await type(page, "key-input", stack.apiKey);
    await press(page, "Open");
    await page.waitForSelector("#key-balance:not([hidden])");
    await openTab(page, "billing");
    await sees(page, "The alert is off.");
    await openTab(page, "playground");
    await page.waitForSelector("#playground-form:not([hidden])");
    await openTab(page, "usage");
    await page.waitForSelector("#usage-panel:not([hidden])");
    expect(await page.content()).not.toContain(stack.apiKey);
    expect(await kept(page)).toEqual(nothing);
    await page.reload();
    await openTab(page, "key");
    await page.waitForSelector("#key-form:not([hidden])");
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("sets a forgotten password by the mail's link, which ends the sessions of all other browsers", async () => {
    const { page: former, email } = await newcomer();
    // Another name of this machine is another origin to the browser, with a storage of its own: as good as another browser.
    const elsewhere = (url: string) => url.replace("127.0.0.1", "localhost");
    const { page } = await openPage(browser, elsewhere(stack.dashboardUrl));
    await press(page, "Forgot password");
    await type(page, "forgot-email", email);
    await submit(page, "forgot");
    await sees(page, `If there is something to do for ${email}`);
    await page.goto(elsewhere(await linkTo(stack, email, "reset_password")));
    await type(page, "reset-password", "too short");
    await submit(page, "reset");
    await sees(page, "A new password needs 12 characters or more.");
    await type(page, "reset-password", `${password} again`);
    await submit(page, "reset");
    await loggedIn(page);

    await openTab(former, "profile");
    await submit(former, "name");
    await sees(former, "Your session has ended. Log in again.");
    expect(await kept(former)).toEqual(nothing);

    await former.goto("about:blank");
    await former.goto(stack.dashboardUrl);
    await type(former, "login-email", email);
    await type(former, "login-password", password);
    await submit(former, "login");
    await sees(former, "E-mail address or password is wrong.");
    await type(former, "login-password", `${password} again`);
    await submit(former, "login");
    await hasBalance(former, "0.00");
    await openTab(former, "profile");
    await press(former, "Log out everywhere");
    await sees(former, "You are logged out.");
    await openTab(page, "profile");
    await press(page, "Download copy (JSON)");
    await sees(page, "Your session has ended. Log in again.");
    expect(await kept(page)).toEqual(nothing);
    await page.close();
    await former.close();
  }, 60_000);

  test("logs out all tabs of a browser with one, and drops what is no session or has expired (keep.session)", async () => {
    const { page } = await newcomer();
    const { page: second } = await openPage(browser, stack.dashboardUrl);
    await loggedIn(second);
    await press(page, "Log out");
    await sees(second, "You are logged out.");
    await page.close();
    const expired = `e30.${Buffer.from(JSON.stringify({ exp: 1 })).toString("base64url")}.x`;
    for (const left of [expired, "no session"]) {
      await second.evaluate((value) => localStorage.setItem("epithre-session", value), left);
      await second.reload();
      await sees(second, "Your session has ended. Log in again.");
      await waitFor("the item to go", async () => (await kept(second)).local.length === 0);
    }
    await second.close();
  }, 60_000);

  test("corrects the address by the link in the mail to the new one, and asks the password for it (right.correct)", async () => {
    const { page, accountId } = await newcomer();
    const next = `${randomUUID()}@example.com`;
    await openTab(page, "profile");
    await type(page, "email-input", next);
    await type(page, "email-password", "not the password");
    await submit(page, "email");
    await sees(page, "The password is wrong.");
    await type(page, "email-password", password);
    await submit(page, "email");
    await sees(page, `Waiting for the link in the mail to ${next}`);
    await openLinkOf(page, next, "change_email");
    await press(page, "Confirm");
    await sees(page, "The new address counts from now on.");
    await openTab(page, "profile");
    await sees(page, `Now: ${next}.`);
    expect((await stack.sql`select email from persons where account_id = ${accountId}`)[0]!.email).toBe(next);
    await page.close();
  }, 60_000);

  test("makes a key with all that it may have, and rotates it", async () => {
    const { page, accountId } = await newcomer();
    await openTab(page, "key");
    await page.locator("#newkey-details summary").click();
    for (const box of ["chat", "models", "usage"]) await page.locator(`#newkey-scopes [value=${box}]`).click();
    await page.locator("#newkey-models [value=simulated-chat]").click();
    await page.$eval("#newkey-expires", (field) => ((field as HTMLInputElement).value = "2099-12-31"));
    await type(page, "newkey-budget", "a lot");
    await page.$eval("[name=requests]", (field) => ((field as HTMLInputElement).value = "60"));
    await page.$eval("[name=tokens]", (field) => ((field as HTMLInputElement).value = "9000"));
    await type(page, "newkey-name", "narrow");
    await submit(page, "newkey");
    await sees(page, "Enter an amount in whole rupiah");
    await type(page, "newkey-budget", "75.000");
    const key = await createKey(page, "narrow");
    const rows = () => stack.sql`
      select prefix, scopes, monthly_budget_micro::text as budget, requests_per_minute as requests, tokens_per_minute as tokens,
        expires_at > '2099-12-30' as late, models, revoked_at is null and (expires_at is null or expires_at > now()) as works
      from api_keys where account_id = ${accountId} order by id
    `;
    const wanted = { scopes: ["usage"], budget: "75000000000", requests: 60, tokens: 9000, late: true, works: true };
    expect((await rows())[0]).toMatchObject({ prefix: key.slice(0, 12), ...wanted });
    await sees(page, "60 requests a minute");
    await sees(page, "75,000 a month");

    await press(page, `Change: narrow, ${key.slice(0, 12)}`);
    expect(await page.$eval("#changekey-budget", (field) => (field as HTMLInputElement).value)).toBe("75000");
    await type(page, "changekey-budget", "80.000");
    await type(page, "changekey-requests", "");
    await submit(page, "changekey");
    await sees(page, "80,000 a month");
    Object.assign(wanted, { budget: "80000000000", requests: null });
    expect((await rows())[0]).toMatchObject(wanted);

    await press(page, `Rotate: narrow, ${key.slice(0, 12)}`);
    await page.select("#ask-choice", "0");
    await click(page, "ask-confirm");
    await page.waitForFunction((former) => document.getElementById("fresh-key")!.textContent !== former, {}, key);
    const next = await page.$eval("#fresh-key", (element) => element.textContent!);
    expect(await rows()).toMatchObject([{ works: false }, { prefix: next.slice(0, 12), ...wanted }]);
    await page.close();
  }, 60_000);

  test("runs no script but its own, and makes no markup of text", async () => {
    const { page } = await openPage(browser, stack.dashboardUrl);
    const thrown = await page.evaluate(() => {
      const tries = [
        () => void (document.createElement("script").textContent = "window.injected = true"),
        () => void (document.body.innerHTML = "<img src=x onerror='window.injected = true'>"),
        () => document.body.setAttribute("onclick", "window.injected = true"),
      ];
      return tries.map((attempt) => {
        try {
          attempt();
        } catch (error) {
          return (error as Error).name;
        }
      });
    });
    expect(thrown).toEqual(["TypeError", "TypeError", "TypeError"]);
    await page.close();

    // The page as it would be had somebody got markup into it, under the same headers.
    const injected = await browser.newPage();
    const refused: string[] = [];
    injected.on("console", (message) => refused.push(message.text()));
    await injected.setRequestInterception(true);
    injected.on("request", async (request) => {
      if (request.resourceType() !== "document") return void request.continue();
      const answer = await fetch(request.url());
      const body = (await answer.text()).replace("<body>", "<body><script>window.injected = true</script><img src=x onerror='window.injected = true'>");
      const { "content-encoding": _zipped, "content-length": _bytes, ...headers } = Object.fromEntries(answer.headers);
      await request.respond({ status: answer.status, headers, body });
    });
    await injected.goto(stack.dashboardUrl);
    await sees(injected, "Log in");
    expect(await injected.evaluate(() => "injected" in window)).toBe(false);
    expect(refused.filter((text) => text.includes("Content Security Policy")).length).toBeGreaterThan(1);
    await injected.close();
  });
});
