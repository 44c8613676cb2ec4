import { createPrivateKey, randomUUID } from "node:crypto";
import { serve } from "openfaas-node";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { connect } from "#shared/db.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { findFreePorts } from "#infra/local/ports.ts";
import { invite, withDatabase } from "#infra/operators/operators.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { createConsole, readFiles } from "../../functions/admin/site.ts";
import { createHandler } from "../../functions/admin/handler.ts";
import { createHandler as createSeal } from "../../functions/audit-seal/handler.ts";
import { addKey, addModel, openAccount } from "../support/accounts.ts";
import { addAuthenticator, devices, fill, follow, launchBrowser, openPage, overflows, picture, press, schemes, sees, violations } from "../support/browser.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { adminSettings } from "../support/operators.ts";
import { waitFor } from "../support/wait.ts";

let db: TestDatabase;
let pool: DatabasePool;
let server: Awaited<ReturnType<typeof serve>>;
let browser: Browser;
let consoleUrl: string;

const email = "somebody@example.com";
let accountId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  const port = (await findFreePorts(1))[0]!;
  consoleUrl = `http://localhost:${port}/console/`;
  const pages = createConsole(await readFiles(new URL("../../functions/admin/web/", import.meta.url)));
  server = await serve({
    name: "admin", port, hostname: "127.0.0.1", log: () => {}, bodyBytesMax: 65_536,
    handler: createHandler({ database: pool, ...adminSettings, console: pages, consoleUrl }),
  });
  browser = await launchBrowser();
  await fillDatabase();
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await server?.stop();
  await pool?.close();
  await db?.close();
});

/** Enough that no page is empty. */
async function fillDatabase(): Promise<void> {
  await addModel(db.sql, "simulated-chat");
  accountId = await openAccount(db.sql, 150_000_000_000n);
  await db.sql`insert into persons (account_id, email, name) values (${accountId}, ${email}, 'Somebody')`;
  await db.sql`select request_top_up(${accountId}, 100000, ${randomUUID()}, 1100, 14, 5, 20)`;
  const { keyId } = await addKey(db.sql, accountId);
  await db.sql`
    insert into usage_events (
      id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, images,
      latency_ms, endpoint, model_id, status
    )
    select uuidv7(interval '-1 minute'), ${accountId}, ${keyId}, 1, 1, 1, 0, 1, 0, 0, 80 + n, 'chat.completions', 1, case when n % 4 = 0 then 200 else 400 end
    from generate_series(1, 80) as n
  `;
  await db.sql`insert into engine_counters values (${randomUUID()}, 1, now(), 1, 1)`;
  await db.sql`insert into purge_runs (state, early_days, started_at, finished_at) values ('refused', 0, now(), now())`;
  const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
  await createSeal({ open: () => connect({ url: db.urlFor("audit-seal"), connections: 1 }), signer, log: () => {} })(new Request("http://audit-seal/", { method: "POST" }));
}

const linkFor = async (name: string) => `${consoleUrl}#invite=${await withDatabase(db.url, (sql) => invite(sql, name, false))}`;

/** A new operator, who has enrolled and signed in with a passkey in this page. */
async function signedIn(name: string, options = {}) {
  const watched = await openPage(browser, consoleUrl, options);
  await addAuthenticator(watched.page);
  await watched.page.goto(await linkFor(name));
  await press(watched.page, "Enrol a passkey");
  await sees(watched.page, "The passkey is enrolled");
  await press(watched.page, "Sign in with a passkey");
  await sees(watched.page, "Finding an account is noted");
  return watched;
}

const auditActions = async () =>
  (await db.sql<{ did: string }[]>`
    select l.action::text || coalesce(' ' || l.reason::text, '') as did from audit_log l join operators o on o.id = l.operator_id where o.name = 'first' order by l.id
  `).map(({ did }) => did);

async function openTab(page: Page, title: string): Promise<void> {
  await follow(page, title);
  await page.waitForFunction((wanted) => document.title.startsWith(wanted), {}, title);
}

const tabs = ["Accounts", "Transfers", "Models", "Abuse", "Audit", "Evidence", "Operators"];
/** What each page shows when it is there. */
const shown: Record<string, string> = {
  Accounts: "Find", Transfers: "Find", Models: "simulated-chat", Abuse: "calls refused for what was in them", Audit: "Sealed days", Evidence: "Statements", Operators: "New operator",
};

describe("the operators' console in a browser", () => {
  test("lets an operator enrol, sign in, find an account, suspend it, and see that in the log (keep.audit)", async () => {
    const { page, complaints } = await signedIn("first");
    expect(new URL(page.url()).hash).toBe("");
    await fill(page, "E-mail, account id, or the first 12 characters of a key", email);
    await press(page, "Find");
    await follow(page, accountId);
    await sees(page, "Rp 150,000");
    await page.select('select[name="reason"]', "abuse");
    await press(page, "Suspend");
    await sees(page, "All calls of this account stop");
    await page.locator("dialog button.danger").click();
    await sees(page, "Reinstate");
    expect((await db.sql`select status from accounts where id = ${accountId}`)[0]!.status).toBe("suspended");
    await follow(page, "what the audit log says");
    await sees(page, "account suspended (abuse)");
    expect(await auditActions()).toEqual([
      "operator_enrolled", "operator_signed_in", "account_viewed", "account_viewed", "account_suspended abuse", "account_viewed", "account_viewed",
    ]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("posts money once, also when its form is sent again because the answer was lost", async () => {
    const { page } = await signedIn("second");
    await page.goto(`${consoleUrl}#accounts/${accountId}`);
    await fill(page, "Rupiah (a refund is negative)", "1,250.5");
    const post = async () => {
      await press(page, "Post");
      await page.locator("dialog button.danger").click();
    };
    let lost = 0;
    await page.setRequestInterception(true);
    page.on("request", async (request) => {
      if (!request.url().endsWith("/credits") || lost > 0) return void request.continue();
      lost += 1;
      await fetch(request.url(), { method: "POST", headers: request.headers(), body: request.postData()! });
      await request.abort();
    });
    await post();
    await sees(page, "Cannot reach admin");
    await post();
    await sees(page, "Rp 151,250.5");
    const events = await db.sql`select amount_micro::text as amount, kind, reason from billing_events where account_id = ${accountId} and kind = 'adjustment'`;
    expect([...events]).toEqual([{ amount: "1250500000", kind: "adjustment", reason: "goodwill" }]);
    await page.close();
  });

  test("confirms a transfer of exactly what the invoice says, once (pay.alpha)", async () => {
    const { page } = await signedIn("payments");
    await page.goto(`${consoleUrl}#transfers/${accountId}`);
    await sees(page, "111,000");
    const confirm = async (rupiah: string) => {
      await fill(page, "Received, Rp", rupiah);
      await press(page, "Confirm");
      await page.locator("dialog button.danger").click();
    };
    await confirm("100,000");
    await sees(page, "what was received is not its total");
    await confirm("111,000");
    await sees(page, "came in");
    expect(await db.sql`select from billing_events where account_id = ${accountId} and kind = 'top_up' and amount_micro = 100000000000`).toHaveLength(1);
    await picture(page, "admin-transfers-found");
    await page.close();
  });

  test("shows who is throttled, and lifts that (keep.audit)", async () => {
    const { page } = await signedIn("lifter");
    await db.sql`insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${accountId}, 'left', 10, now() + interval '1 hour')`;
    await follow(page, "Abuse");
    await sees(page, "calls left by their caller");
    await picture(page, "abuse-throttled");
    await press(page, "Lift");
    await waitFor("the throttle to be lifted", async () => (await db.sql`select from throttles where account_id = ${accountId} and lifted`).length === 1);
    expect(await db.sql`select from audit_log where action = 'throttle_lifted'`).toHaveLength(1);
    await page.close();
  });

  test("shows admin's own words where something is refused, and forgets a session that has ended", async () => {
    const { page } = await signedIn("third");
    await fill(page, "E-mail, account id, or the first 12 characters of a key", "nobody");
    await press(page, "Find");
    await sees(page, "Cannot use body");
    await db.sql`delete from operator_sessions`;
    await follow(page, "Models");
    await sees(page, "The session has ended.");
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    await page.close();
  });

  test("keeps one word in the tab's memory, and no cookie (track.none)", async () => {
    const { page } = await signedIn("fourth");
    const kept = await page.evaluate(() => ({ cookie: document.cookie, local: localStorage.length, session: Object.keys(sessionStorage) }));
    expect(kept).toEqual({ cookie: "", local: 0, session: ["epithre-operator"] });
    await page.reload();
    await sees(page, "Finding an account is noted");
    await press(page, "Sign out");
    await sees(page, "You are signed out.");
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    expect(await browser.cookies()).toEqual([]);
    await page.close();
  });

  test("runs no script but its own, and makes no markup of text", async () => {
    const { page, complaints } = await openPage(browser, consoleUrl);
    const outcome = await page.evaluate(async () => {
      const script = document.createElement("script");
      let thrown = "";
      try {
        script.textContent = "window.injected = true";
        document.body.append(script);
      } catch (error) {
        thrown += (error as Error).name;
      }
      try {
        document.body.innerHTML = "<img src=x onerror='window.injected = true'>";
      } catch (error) {
        thrown += (error as Error).name;
      }
      try {
        document.body.setAttribute("onclick", "window.injected = true");
        document.body.click();
      } catch (error) {
        thrown += (error as Error).name;
      }
      return { thrown, injected: (window as unknown as { injected?: boolean }).injected ?? false };
    });
    expect(outcome).toEqual({ thrown: "TypeErrorTypeErrorTypeError", injected: false });
    await page.close();

    // The page as it would be had somebody got markup into it, under the same headers.
    const injected = await browser.newPage();
    injected.on("console", (message) => complaints.push(message.text()));
    await injected.setRequestInterception(true);
    injected.on("request", async (request) => {
      const answer = await fetch(request.url());
      const body = (await answer.text()).replace("<body>", "<body><script>window.injected = true</script><img src=x onerror='window.injected = true'>");
      await request.respond({ status: answer.status, headers: Object.fromEntries(answer.headers), body });
    });
    await injected.goto(consoleUrl);
    await sees(injected, "Sign in");
    expect(await injected.evaluate(() => "injected" in window)).toBe(false);
    expect(complaints.filter((complaint) => complaint.includes("Content Security Policy")).length).toBeGreaterThan(1);
    await injected.close();
  });

  test("takes no passkey at another address than its own", async () => {
    const { page } = await openPage(browser, consoleUrl.replace("localhost", "127.0.0.1"));
    await addAuthenticator(page);
    await press(page, "Sign in with a passkey");
    await page.waitForSelector(".problem:not([hidden])");
    expect(await page.$eval(".problem", (element) => element.textContent)).toMatch(/Cannot|invalid domain/);
    await page.close();
  });

  test.each(devices)("fits a %s in light and dark, without an error on any page, and axe-core finds nothing wrong with it", async (device, width) => {
    const problems: string[] = [];
    for (const scheme of schemes) {
      const { page, complaints } = await signedIn(`o${randomUUID().slice(0, 8)}`, { width, scheme });
      for (const tab of tabs) {
        await openTab(page, tab);
        await sees(page, shown[tab]!);
        expect([tab, await overflows(page)]).toEqual([tab, false]);
        problems.push(...(await violations(page)).map((found) => `${tab} ${scheme}: ${found}`));
        await picture(page, `admin-${tab.toLowerCase()}-${device}-${scheme}`);
      }
      await page.goto(`${consoleUrl}#accounts/${accountId}`);
      await sees(page, "Last billing events");
      expect(await overflows(page)).toBe(false);
      problems.push(...(await violations(page)).map((found) => `account ${scheme}: ${found}`));
      await picture(page, `admin-account-${device}-${scheme}`);
      await press(page, "Sign out");
      await sees(page, "You are signed out.");
      problems.push(...(await violations(page)).map((found) => `sign-in ${scheme}: ${found}`));
      await picture(page, `admin-sign-in-${device}-${scheme}`);
      await page.goto(`${consoleUrl}#invite=${"a".repeat(43)}`);
      await sees(page, "Enrol a passkey");
      problems.push(...(await violations(page)).map((found) => `enrol ${scheme}: ${found}`));
      await picture(page, `admin-enrol-${device}-${scheme}`);
      expect(complaints).toEqual([]);
      await page.close();
    }
    expect(problems).toEqual([]);
  }, 120_000);

  test("takes an operator's statement of a promise, and takes it back (place.jakarta)", async () => {
    const { page, complaints } = await signedIn("statements");
    await openTab(page, "Evidence");
    await sees(page, "missing");
    const row = "tbody tr:first-child";
    await page.locator(`${row} button`).click();
    await sees(page, "You state this as the operator of the servers, for 92 days, in public.");
    await page.locator("dialog button.danger").click();
    await page.waitForSelector(`${row} .badge.good`);
    await picture(page, "evidence-stated");
    await press(page, "Withdraw");
    await page.locator("dialog button.danger").click();
    await page.waitForSelector(`${row} .badge.bad`);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("hands out the log, to be verified", async () => {
    const { page } = await signedIn("fifth");
    await openTab(page, "Audit");
    await sees(page, "Sealed days");
    const count = async () => Number((await db.sql`select count(*) as n from audit_log where action = 'audit_exported'`)[0]!.n);
    const before = await count();
    await press(page, "Download for verification");
    await waitFor("the export", async () => (await count()) === before + 1);
    await page.close();
  });
});
