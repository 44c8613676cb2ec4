import { createHash } from "node:crypto";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, type RunningFunction } from "openfaas-node";
import { findFreePorts } from "#infra/local/ports.ts";
import { languages } from "#shared/languages.ts";
import { policy } from "#shared/policy.ts";
import { openAccount } from "../../support/accounts.ts";
import { launchBrowser, openPage, overflows, picture } from "../../support/browser.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createPolicy, type PolicyFunction } from "../../support/policy.ts";
import { addSlice, addUsage, purgeOnce } from "../../support/purge.ts";

let db: TestDatabase;
let browser: Browser;
let policyFunction: PolicyFunction;
let server: RunningFunction;
let url: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await fillDatabase();
  policyFunction = createPolicy(db, {
    backupWindowDays: 7,
    functionUrls: Object.fromEntries(["proxy", "key-auth", "billing", "accounts", "export", "purge", "audit-seal"].map((name) => [name, `http://${name}`])),
  });
  const port = (await findFreePorts(1))[0]!;
  server = await serve({ name: "policy", port, hostname: "127.0.0.1", log: () => {}, bodyBytesMax: 1_024, handler: policyFunction.handler });
  url = `http://127.0.0.1:${port}`;
  browser = await launchBrowser();
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await server?.stop();
  await policyFunction?.close();
  await db?.close();
});

/** Some green, some red, and no part of the page empty. */
async function fillDatabase(): Promise<void> {
  const { sql } = db;
  await openAccount(sql, 1_000);
  await addUsage(sql, await addSlice(sql, "60 days"), crypto.randomUUID());
  await purgeOnce(db, { backupWindowDays: 7 });
  await sql`update accounts set status = 'closed', closed_at = now() - interval '9 days' where id = ${await openAccount(sql)}`;
  await sql`
    insert into audit_days (day, rows, head, sealed_until, statement)
    select (until at time zone 'UTC')::date, 12, sha256('head'), until, 'signed' from (select now() - interval '4 minutes' as until) as at
  `;
  await sql`insert into canary_scans (bytes_searched, stores_searched, stores_not_searched, hits, controls_found) values (5300000000, 4, 2, 0, 4)`;
  for (const { id, promise, proof } of policy) {
    if (proof.kind !== "attested" || id === "pay.alpha") continue;
    await sql`
      insert into attestations (promise, sentence_digest, expires_at)
      values (${id}::text::attested_promise, ${createHash("sha256").update(promise).digest()}, now() + interval '92 days')
    `;
  }
}

describe("the policy's pages in a browser", () => {
  test.each([["desktop", 1280], ["phone", 390]] as const)("fit a %s in light and dark and both languages, and ask nothing of anybody (track.none)", async (device, width) => {
    for (const scheme of ["light", "dark"] as const) {
      for (const language of languages) {
        for (const name of ["policy", "status"]) {
          const { page, complaints } = await openPage(browser, `${url}/${name}?lang=${language}`, { width, scheme });
          expect([name, language, await overflows(page)]).toEqual([name, language, false]);
          // The style that its digest allows is there, in the scheme that was asked for.
          expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe({ light: "rgb(246, 248, 246)", dark: "rgb(13, 18, 16)" }[scheme]);
          expect(await page.evaluate(() => performance.getEntriesByType("resource").filter(({ name: address }) => !address.startsWith("data:")).map(({ name: address }) => address))).toEqual([]);
          expect(complaints).toEqual([]);
          await picture(page, `${name}-${language}-${device}-${scheme}`);
          await page.close();
        }
      }
    }
    expect(await browser.cookies()).toEqual([]);
  }, 120_000);

  test("run no script, wherever it came from", async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    await page.setRequestInterception(true);
    page.on("request", async (request) => {
      const answer = await fetch(request.url());
      const body = (await answer.text()).replace('<main id="main"', `<script>document.title = "injected"</script><img src=x onerror='document.title = "injected"'><main id="main"`);
      await request.respond({ status: answer.status, headers: Object.fromEntries(answer.headers), body });
    });
    await page.goto(`${url}/policy`);
    expect(await page.title()).not.toBe("injected");
    expect(complaints.filter((complaint) => complaint.includes("Content Security Policy")).length).toBeGreaterThan(1);
    await page.close();
  });

  test("have one heading of the first order, a name for each part, and headings in their order", async () => {
    for (const name of ["policy", "status"]) {
      const { page } = await openPage(browser, `${url}/${name}`);
      const found = await page.evaluate(() => ({
        levels: [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1])),
        unnamed: [...document.querySelectorAll("section")].filter((section) => !document.getElementById(section.getAttribute("aria-labelledby") ?? "")).length,
        twice: [...document.querySelectorAll("[id]")].map(({ id }) => id).filter((id, index, all) => all.indexOf(id) !== index),
        dead: [...document.querySelectorAll<HTMLAnchorElement>('a[href^="#"]')].map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)),
      }));
      expect(found.levels.filter((level) => level === 1)).toHaveLength(1);
      for (const [index, level] of found.levels.entries()) expect(level - (found.levels[index - 1] ?? 0)).toBeLessThanOrEqual(1);
      expect(found).toMatchObject({ unnamed: 0, twice: [], dead: [] });
      await page.close();
    }
  });
});
