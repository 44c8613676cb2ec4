/**
 * The pages of the dashboard with months of usage behind them: what they show, that they fit, and that nothing of them is
 * closed to who does not see or use a mouse. With EPITHRE_SCREENSHOTS=FOLDER (`npm run screenshots`) they leave pictures.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devices, launchBrowser, openPage, overflows, picture, press, schemes, sees, violations } from "../support/browser.ts";
import { click, createKey, loggedIn, newcomer, openTab, submit, tabs, type, type Newcomer } from "../support/dashboard.ts";
import { makeOld } from "../support/history.ts";
import { startStack, type OwnedStack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

let stack: OwnedStack;
let browser: Browser;
let downloads: string;
/** Who has used much, in a page that stays open. */
let person: Newcomer;

/** Days with usage before this one, fewer than the shortest month has; calls of each at most. */
const usedDays = 27;
const ofDay = 40;

beforeAll(async () => {
  stack = await startStack();
  await makeOld(stack.sql, 1);
  browser = await launchBrowser();
  downloads = mkdtempSync(join(tmpdir(), "epithre-downloads-"));
  person = await newcomer(stack, browser);
  await stack.operator.credit(person.accountId, 250_000_000_000);
  await createKey(person.page, "production");
  await addUsage();
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await stack?.stop();
  rmSync(downloads, { recursive: true, force: true });
});

/** Calls of two models on each of the days, more in the middle of a week, of which some failed. */
async function addUsage(): Promise<void> {
  const [key] = await stack.sql<{ id: string }[]>`select id from api_keys where account_id = ${person.accountId}`;
  const midnightMs = new Date().setUTCHours(0, 0, 0, 0);
  await stack.sql`
    insert into usage_events
    select u.id, ${person.accountId}, ${key!.id}, case when s.status < 400 then 1200000 + n * 104729 % 9000000 else 0 end, 1, 300 + n * 37 % 900, 0,
      case when s.status < 400 then 80 + n * 53 % 700 else 0 end, 0, 0, 180 + n * 211 % 1400, 'chat.completions', m.id, s.status
    from generate_series(0, ${usedDays - 1}) as d (day), generate_series(1, ${ofDay}) as c (call),
      lateral (select day * ${ofDay} + call as n) as p,
      lateral (select case when n % 41 = 0 then 429 when n % 97 = 0 then 503 else 200 end as status) as s,
      lateral (select id from models where name = case when n % 3 = 0 then 'simulated-embedding' else 'simulated-chat' end) as m,
      lateral (select overlay(uuidv7()::text placing f from 1 for 13)::uuid as id
        from (select substr(uuidv7_floor(to_timestamp(${midnightMs / 1000} - day * 86400 - 43200) + make_interval(secs => call * 60))::text, 1, 13) as f)) as u
    where call <= 8 + (day * 5) % 7 * 5
  `;
}

/** As the database has them. */
async function summed(where: { status?: number; model?: string } = {}) {
  const [row] = await stack.sql<{ requests: string; cost: string }[]>`
    select count(*)::text as requests, (sum(u.cost_micro) / 1000000.0)::text as cost from usage_events u join models m on m.id = u.model_id
    where u.account_id = ${person.accountId} and u.status / 100 = coalesce(${where.status ?? null}::integer, u.status / 100)
      and m.name = coalesce(${where.model ?? null}, m.name)
  `;
  return { requests: Number(row!.requests), cost: Number(row!.cost) };
}

const textOf = (page: Page, id: string) => page.$eval(`#${id}`, (element) => element.textContent!);
const plain = (text: string) => Number(text.replace(/[^\d.]/g, ""));
const countIs = (page: Page, requests: number) =>
  page.waitForFunction((wanted) => document.getElementById("usage-sum-requests")!.textContent!.replace(",", "") === wanted, {}, String(requests));
const cells = (page: Page, table: string, column: number) =>
  page.$$eval(`${table} tbody tr`, (rows, index) => rows.map((row) => row.children[index]!.textContent!), column);

describe("the overview", () => {
  test("tells a new account what to do next, in one tap each", async () => {
    // The other one stays logged in.
    const another = await launchBrowser();
    const { page, complaints } = await newcomer(stack, another);
    await sees(page, "No call in the last 30 days");
    expect(await page.$$eval(".steps a", (links) => links.map((link) => (link as HTMLAnchorElement).hash))).toEqual(["#billing", "#key", "#start"]);
    expect(complaints).toEqual([]);
    for (const [device, width] of devices) {
      await page.setViewport({ width, height: 900 });
      expect(await violations(page)).toEqual([]);
      await picture(page, `overview-new-${device}-light`);
    }
    await another.close();
  });

  test("adds up to what the events come to, in charts and in the table beside them, for each range (use.usage)", async () => {
    const { page } = person;
    await openTab(page, "overview");
    await press(page, "Refresh");
    const all = await summed();
    await page.waitForSelector("#overview-charts figure");
    await picture(page, "dashboard", false);
    const days = await page.$$eval("#overview-days tbody tr", (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent!)));
    expect(days).toHaveLength(30);
    expect(days.reduce((sum, day) => sum + plain(day[2]!), 0)).toBe(all.requests);
    expect(days.reduce((sum, day) => sum + plain(day[1]!), 0)).toBeCloseTo(all.cost, 5);
    expect((await cells(page, "#overview-models", 1)).reduce((sum, cost) => sum + plain(cost), 0)).toBeCloseTo(all.cost, 5);
    expect(plain((await page.$$eval("#overview-charts .figure", (figures) => figures.map((figure) => figure.textContent!)))[0]!)).toBe(Math.round(all.cost));
    // A bar for each day that has one, and words for who does not see it.
    expect(await page.$$eval("#overview-charts figure:first-child rect.solid", (bars) => bars.length)).toBe(days.filter((day) => plain(day[1]!) > 0).length);
    expect(await page.$$eval("#overview-charts svg", (charts) => charts.map((chart) => chart.querySelector("title")!.textContent))).toEqual(["Spend", "Tokens", "Error rate", "Latency"]);
    expect(await page.$eval("#overview-charts desc", (desc) => desc.textContent)).toMatch(/Most on .*: Rp.*Figures by day/);

    await page.locator("#overview-charts figure:first-child svg").hover();
    expect(await page.$eval("#overview-charts .hint", (hint) => hint.textContent)).toMatch(/^\w+ \d+, \d{4}: Rp/);
    await page.mouse.move(0, 0);
    await page.locator("[data-days='7']").click();
    await page.waitForFunction(() => document.querySelectorAll("#overview-days tbody tr").length === 7);
    expect(new URL(page.url()).hash).toBe("#overview?days=7");
    await page.goBack();
    await page.waitForFunction(() => document.querySelectorAll("#overview-days tbody tr").length === 30);
  });

  test("opens its table by the keyboard, and leads from a model to its calls", async () => {
    const { page } = person;
    await page.focus("#overview details summary");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement!.id)).toBe("overview-days");
    await page.locator("#overview-models tbody a").click();
    await page.waitForSelector("#usage[data-open]");
    expect(await page.evaluate(() => document.activeElement!.id)).toBe("usage-title");
    await countIs(page, (await summed({ model: "simulated-chat" })).requests);
  });
});

describe("the usage explorer", () => {
  test("pages through one's calls, and keeps its filters in the address alone (right.export)", async () => {
    const { page } = person;
    await openTab(page, "usage");
    await countIs(page, (await summed()).requests);
    const ids = await stack.sql<{ id: string }[]>`select id from usage_events where account_id = ${person.accountId} order by id desc limit 100`;
    const shown = () => page.$$eval("#usage-events button", (buttons) => buttons.map((button) => (button as HTMLElement).title));
    await waitFor("the first page", async () => (await shown()).length === 50);
    expect(await shown()).toEqual(ids.slice(0, 50).map(({ id }) => id));
    await press(page, "Older");
    await waitFor("the second page", async () => (await shown())[0] === ids[50]!.id);
    expect(await shown()).toEqual(ids.slice(50).map(({ id }) => id));
    await press(page, "Newer");
    await waitFor("the first page", async () => (await shown())[0] === ids[0]!.id);

    await page.select("#usage-status", "4xx");
    await page.locator("#usage-form [type=submit]").click();
    const refused = await summed({ status: 4 });
    await countIs(page, refused.requests);
    expect(new Set(await cells(page, "#usage-events", 5))).toEqual(new Set(["429"]));
    // What is linked to is what is seen, by whoever has the session.
    const { page: linked } = await openPage(browser, page.url());
    await countIs(linked, refused.requests);
    expect(await linked.$eval("#usage-status", (select) => (select as HTMLSelectElement).value)).toBe("4xx");
    expect(await linked.evaluate(() => Object.keys(localStorage))).toEqual(["epithre-session"]);
    await linked.close();
    await press(page, "Clear");
    await countIs(page, (await summed()).requests);
    await type(page, "usage-from", "2026-02-02");
    await type(page, "usage-to", "2026-02-01");
    await submit(page, "usage");
    await sees(page, "The first day is later than the last one.");
    await press(page, "Clear");
  });

  test("hands out the same as CSV, and as a file that is built in the background (right.export)", async () => {
    const { page } = person;
    await (await page.createCDPSession()).send("Page.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    await page.select("#usage-status", "5xx");
    await submit(page, "usage");
    const { requests } = await summed({ status: 5 });
    await countIs(page, requests);
    const downloaded = async () => {
      const name = await waitFor("the file", () => readdirSync(downloads).find((file) => file.endsWith(".csv")));
      const text = readFileSync(join(downloads, name), "utf8");
      rmSync(join(downloads, name));
      return text;
    };
    await press(page, "Download CSV");
    const csv = await downloaded();
    expect(parse(csv, { columns: true })).toHaveLength(requests);

    await press(page, "Build a file");
    await sees(page, "Waiting");
    await waitFor("the file to be built", async () => {
      await fetch(`${stack.url}/function/export`, { method: "POST" });
      return (await stack.sql`select from usage_exports where account_id = ${person.accountId} and state = 'ready'`).length === 1;
    });
    await openTab(page, "billing");
    await page.goBack();
    await press(page, "Make link");
    await page.waitForSelector("#files-table a");
    expect(await page.evaluate(() => (document.activeElement as HTMLAnchorElement).pathname)).toMatch(/^\/v1\/usage\/exports\/[\w-]+\/[\w-]{43}$/);
    await page.locator("#files-table a").click();
    expect(createHash("sha256").update(await downloaded()).digest("hex")).toBe(createHash("sha256").update(csv).digest("hex"));
  });

  test("shows all that is kept of one call, with its receipt (right.access)", async () => {
    const { page } = person;
    await page.locator("#usage-events button").click();
    await page.waitForFunction(() => document.getElementById("receipt-signed")!.textContent!.split(".").length === 3);
    const id = await page.$eval("#usage-events button", (button) => (button as HTMLElement).title);
    expect(await textOf(page, "receipt-facts")).toContain(id);
    expect(await violations(page)).toEqual([]);
    await picture(page, "usage-receipt-desktop-light");
    await press(page, "Close");
    await page.waitForFunction(() => document.getElementById("receipt-signed")!.textContent === "");
  });

  test("shows nothing of another's, and says so of a link that names what is not there", async () => {
    const { page } = person;
    await page.goto(`${stack.dashboardUrl}#usage?key_id=${randomUUID()}`);
    await sees(page, "No call matches.");
    await page.goto(`${stack.dashboardUrl}#usage?status=teapot`);
    await page.waitForSelector("#usage-error:not([hidden])");
    expect(await page.$eval("#usage-events", (events) => (events as HTMLElement).hidden)).toBe(true);
  });
});

const words = { en: "What is kept, until when", id: "Apa yang disimpan" };

describe("every page", () => {
  test("has nothing that axe-core finds wrong once something on it is open", async () => {
    const { page } = person;
    const problems: string[] = [];
    const look = async (name: string) => {
      problems.push(...(await violations(page)).map((found) => `${name}: ${found}`));
      await picture(page, `${name}-desktop-light`);
    };
    const key = await createKey(page, "laptop");
    await look("key-made");
    await page.locator(`[aria-label^="Change: laptop"]`).click();
    await look("key-change");
    await click(page, "changekey-keep");
    await page.locator(`[aria-label^="Revoke: laptop"]`).click();
    await look("key-revoke");
    await click(page, "ask-keep");
    await waitFor("the proxy to know the key", async () => (await fetch(`${stack.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).status === 200);
    await press(page, "Try it in the playground");
    await page.waitForSelector("#playground-form:not([hidden])");
    await type(page, "playground-prompt", "Halo");
    await press(page, "Send");
    await sees(page, "ms to the first token");
    await look("playground-answer");
    await openTab(page, "start");
    await page.locator("#tab-python").click();
    await look("start-python");
    await openTab(page, "billing");
    await page.locator("[data-rupiah='250000']").click();
    await click(page, "topup-send");
    await page.waitForSelector("#payment:not([hidden])");
    await look("billing-payment");
    await openTab(page, "policy");
    await page.locator("#policy-details summary").click();
    await look("policy-all");
    expect(problems).toEqual([]);
  }, 60_000);

  test.each(devices)("fits a %s in light and dark, in both languages, and axe-core finds nothing wrong with it", async (device, width) => {
    const problems: string[] = [];
    for (const scheme of schemes) {
      for (const language of ["en", "id"] as const) {
        const { page, complaints } = await openPage(browser, `${stack.dashboardUrl}?lang=${language}`, { width, scheme });
        await loggedIn(page);
        for (const tab of tabs) {
          await openTab(page, tab);
          if (tab === "overview") await page.waitForSelector("#overview-charts:not([aria-busy]) figure");
          if (tab === "usage") await page.waitForSelector("#usage-events tbody tr");
          if (tab === "policy") await sees(page, words[language]);
          await page.evaluate(() => scrollTo(0, 0));
          if (await overflows(page)) problems.push(`${tab} is wider than a ${device} (${language})`);
          problems.push(...(await violations(page)).map((found) => `${tab} ${device} ${scheme} ${language}: ${found}`));
          if (language === "en" || scheme === "light") await picture(page, `${tab}-${language}-${device}-${scheme}`);
        }
        expect(complaints).toEqual([]);
        await page.close();
      }
    }
    expect(problems).toEqual([]);
  }, 300_000);

  test.each(devices)("of the way in fits a %s in light and dark, in both languages, and axe-core finds nothing wrong with it", async (device, width) => {
    const problems: string[] = [];
    // Another name of this machine is another origin to the browser: nobody is logged in there.
    const elsewhere = stack.dashboardUrl.replace("127.0.0.1", "localhost");
    for (const scheme of schemes) {
      for (const language of ["en", "id"] as const) {
        const { page, complaints } = await openPage(browser, `${elsewhere}?lang=${language}`, { width, scheme });
        const look = async (name: string) => {
          if (await overflows(page)) problems.push(`${name} is wider than a ${device} (${language})`);
          problems.push(...(await violations(page)).map((found) => `${name} ${device} ${scheme} ${language}: ${found}`));
          if (language === "en") await picture(page, `${name}-${device}-${scheme}`);
        };
        await page.waitForSelector("#access-promises li");
        await look("login");
        await submit(page, "login");
        await page.waitForSelector("#login-error:not([hidden])");
        await look("login-refused");
        for (const form of ["signup", "forgot"]) {
          await page.locator(`#login-form [data-access=${form}]`).click();
          await page.waitForSelector(`#${form}-form:not([hidden])`);
          await look(form);
          await page.locator(`#${form}-form [data-access=login]`).click();
        }
        for (const [purpose, form] of [["verify_email", "verify"], ["reset_password", "reset"], ["cancel_deletion", "link"]]) {
          await page.goto(`${elsewhere}?lang=${language}#${purpose}=token`);
          await page.waitForSelector(`#${form}-form:not([hidden])`);
          await look(form!);
        }
        for (const tab of ["usage", "key", "billing", "playground"] as const) {
          await openTab(page, tab);
          await look(`out-${tab}`);
        }
        expect(complaints).toEqual([]);
        await page.close();
      }
    }
    expect(problems).toEqual([]);
  }, 300_000);

  test("keeps one item in the browser, no cookie, and asks no other origin (keep.session, track.none)", async () => {
    const { page, complaints } = person;
    for (const tab of tabs) {
      await openTab(page, tab);
      expect(await page.evaluate(() => Object.keys(localStorage))).toEqual(["epithre-session"]);
      expect(await page.evaluate(() => [document.cookie, sessionStorage.length])).toEqual(["", 0]);
    }
    expect(await browser.cookies()).toEqual([]);
    // What the API refused on purpose is all that the browser complained of, and no request went anywhere else.
    expect(complaints.filter((complaint) => !/status of 400/.test(complaint))).toEqual([]);
  });
});
