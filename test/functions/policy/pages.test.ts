import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { languages } from "#shared/languages.ts";
import { policy } from "#shared/policy.ts";
import { columns } from "#shared/stored-data.ts";
import { publicRoute } from "#infra/local/routes.ts";
import { html } from "../../../functions/policy/html.ts";
import { securityTxt } from "../../../functions/policy/security-txt.ts";
import { wordsIn } from "../../../functions/policy/words.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createPolicy, minuteMs, type PolicyFunction } from "../../support/policy.ts";

let db: TestDatabase;
let page: PolicyFunction;

beforeAll(async () => {
  db = await createTestDatabase();
  page = createPolicy(db);
});
afterAll(async () => {
  await page.close();
  await db.close();
});

const paths = ["/policy", "/policy.json", "/policy/evidence.json", "/.well-known/epithre-evidence-keys.json", "/.well-known/security.txt", "/status", "/status.json"];

/** Throws where a tag is not closed, or closed in another order. Attributes must be quoted. */
function expectWellFormed(text: string): void {
  const open: string[] = [];
  const voids = new Set(["meta", "link"]);
  const body = text.replace(/^<!doctype html>/, "").replace(/<style>[^<]*<\/style>/, "");
  for (const [tag, isEnd, name, rest] of body.matchAll(/<(\/?)([a-z][a-z0-9]*)((?: [a-zA-Z-]+(?:="[^"<>]*")?)*)(\/?)>/g)) {
    if (isEnd) expect([tag, open.pop()]).toEqual([tag, name]);
    else if (!voids.has(name!) && name !== "path" && !tag.endsWith("/>")) open.push(name!);
    expect(rest).not.toMatch(/="[^"]*&(?!amp;|lt;|gt;|quot;)/);
  }
  expect(open).toEqual([]);
  const left = body.replace(/<\/?[a-z][a-z0-9]*(?: [a-zA-Z-]+(?:="[^"<>]*")?)*\/?>/g, "");
  expect(left).not.toMatch(/[<>]/);
}

describe("every answer", () => {
  const asked: [string, string, number][] = [
    ...paths.map((path): [string, string, number] => [path, "GET", 200]),
    ["/policy/", "HEAD", 200],
    ["/policy/nothing", "GET", 404],
    ["/__proto__", "GET", 404],
    ["/policy", "POST", 405],
  ];

  test.each(asked)(
    "policy() answers %s %s with %i, runs and loads nothing, and sets no cookie (track.none)",
    async (path, method, status) => {
      const { headers, status: answered } = await page.get(path, {}, method);
      expect(answered).toBe(status);
      expect(headers.get("set-cookie")).toBeNull();
      expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-[^']{44}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      if (status === 200) expect(headers.get("cache-control")).toBe("public, max-age=10");
      if (method === "HEAD") expect(Number(headers.get("content-length"))).toBeGreaterThan(1_000);
    },
  );

  test("comes by a public route of the gateway", () => {
    for (const path of paths) expect([path, publicRoute(path)?.to]).toEqual([path, "policy"]);
    expect(publicRoute("/policy")!.query).toEqual(["lang"]);
    expect(publicRoute("/policy/other")).toBeUndefined();
  });

  test.each(["/policy", "/status"])("policy() writes %s well-formed, in each language, with nothing of another origin", async (path) => {
    for (const language of languages) {
      const text = await (await page.get(`${path}?lang=${language}`)).text();
      expectWellFormed(text);
      expect(text).toContain(`<html lang="${language}">`);
      expect(text).not.toMatch(/<script|\son[a-z]+=|https?:(?!\/\/www\.w3\.org\/2000\/svg)|undefined|NaN|\[object/);
    }
  });
});

describe("/policy", () => {
  test("follows the address, then the browser, then English", async () => {
    const languageOf = async (path: string, acceptLanguage: string) => (await page.get(path, { "accept-language": acceptLanguage })).headers.get("content-language");
    expect(await languageOf("/policy", "fr, id;q=0.5, en;q=0.4")).toBe("id");
    expect(await languageOf("/policy?lang=en", "id")).toBe("en");
    expect(await languageOf("/policy", "fr")).toBe("en");
  });

  test.each(languages)("shows in %s each promise with its limit, its kind, how it is kept, and why it is red", async (language) => {
    const text = await (await page.get(`/policy?lang=${language}`)).text();
    for (const { id } of policy) expect(text).toContain(`id="${id}"`);
    expect(text).toContain({ en: "90 days after the call", id: "90 hari setelah panggilan" }[language]);
    for (const kind of Object.values(wordsIn[language].kinds)) expect(text).toContain(`<b>${kind}</b>`);
    expect(text).toContain({ en: "No operator has stated it.", id: "Belum ada operator yang menyatakannya." }[language]);
    expect(text).toContain({ en: "The deletion run has not come to its end yet.", id: "Proses penghapusan belum pernah selesai." }[language]);
    // Everything has its translation.
    if (language === "id") expect(text).not.toContain('<span lang="en">');
  });

  test("says in words whatever can be red, in each language", () => {
    const say = { span: () => "3 hours", store: () => "Usage events" };
    for (const language of languages) {
      const { finding, stores } = wordsIn[language];
      const codes = ["past_limit", "store_unseen", "purge_limit", "purge_step"] as const;
      for (const code of codes) expect(finding({ code, store: "usage_events", hours: 3, days: 9 }, say)).toContain("Usage events");
      expect(Object.keys(stores).sort()).toEqual(Object.keys(wordsIn.en.stores).sort());
    }
  });

  test("html`` makes text of every value, and markup of none", () => {
    const value = `<script a="b">&`;
    expect(html`<p title="${value}">${value}${[value, null, false, 3]}${html`<b>${value}</b>`}</p>`.text).toBe(
      `<p title="${esc}">${esc}${esc}3<b>${esc}</b></p>`,
    );
  });
  const esc = "&lt;script a=&quot;b&quot;&gt;&amp;";
});

describe("/policy.json", () => {
  test("is the policy as data, with its version and date, each promise, and all that is stored (keep.closed)", async () => {
    const data = (await (await page.get("/policy.json")).json()) as { version: string; date: string; promises: { id: string }[]; stored: object };
    expect(data).toMatchObject({ version: "1.0", date: "2026-05-11", stored: columns });
    expect(data.promises.map(({ id }) => id)).toEqual(policy.map(({ id }) => id));
    expect(data.promises.find(({ id }) => id === "keep.usage")).toMatchObject({
      limit: { en: "90 days after the call" }, amount: { amount: 90, unit: "days" }, proof: { kind: "measured", how: { id: "peristiwa pemakaian tertua" } },
    });
  });
});

describe("/.well-known/security.txt", () => {
  test("has the fields of RFC 9116, and ends within a year whenever it is asked for (sec.disclosure)", async () => {
    const response = await page.get("/.well-known/security.txt");
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    const lines = (await response.text()).trimEnd().split("\n").filter((line) => !line.startsWith("#"));
    const fields = Object.fromEntries(lines.map((line) => line.split(/: (.*)/)));
    expect(fields).toEqual({
      Contact: "mailto:hello@epithre.com", Expires: expect.any(String), "Preferred-Languages": "en, id",
      Canonical: "https://epithre.example/.well-known/security.txt", Policy: "https://epithre.example/policy#sec.disclosure",
    });
    for (const now of ["2026-05-11T12:34:56Z", "2027-12-31T23:59:59Z"]) {
      const [, expires] = /^Expires: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/m.exec(securityTxt("https://epithre.example", Date.parse(now)))!;
      const days = (Date.parse(expires!) - Date.parse(now)) / 86_400_000;
      expect(days).toBeGreaterThan(30);
      expect(days).toBeLessThan(365);
    }
  });

  test("the page of the policy names the address, and the subject (sec.disclosure)", async () => {
    const text = await (await page.get("/policy")).text();
    expect(text).toContain('<a href="mailto:hello@epithre.com">hello@epithre.com</a>');
    expect(text).toContain("subject &quot;Security disclosure&quot;");
  });
});

describe("/status", () => {
  test("tells what answers now and what does not, without asking again for each who asks", async () => {
    const asked: string[] = [];
    const functionUrls = { proxy: "http://proxy", billing: "http://billing", purge: "http://purge" };
    let isAway = true;
    const ask = async (url: string) => {
      asked.push(url);
      if (url === "http://billing/_/ready") return isAway ? undefined : "";
      return url === "http://proxy/_/metrics" ? 'epithre_proxy_engine_healthy{backend="0"} 1\nepithre_proxy_engine_healthy{backend="1"} 0\n' : "";
    };
    const status = createPolicy(db, { ask, functionUrls });
    const read = async () => (await status.get("/status.json")).json();
    const answers = await Promise.all(Array.from({ length: 200 }, read));
    expect(answers[0]).toMatchObject({
      state: "degraded", functions: { proxy: "up", billing: "away", purge: "up" }, database: "up", engines: { up: 1, all: 2 },
    });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(asked.sort()).toEqual(["http://billing/_/ready", "http://proxy/_/metrics", "http://proxy/_/ready", "http://purge/_/ready"]);
    expect(await (await status.get("/status")).text()).toContain("Something does not work.");
    isAway = false;
    status.pass(minuteMs);
    expect(await read()).toMatchObject({ state: "degraded", functions: { billing: "up" } });
    await status.close();
  });

  test("says that all works where all does, and that the database is away where it is", async () => {
    expect(await (await page.get("/status?lang=id")).text()).toContain("Semuanya berfungsi.");
    const alone = createPolicy(db, { database: { run: () => Promise.reject(new Error("away")), close: async () => {} } });
    expect(await (await alone.get("/status.json")).json()).toMatchObject({ state: "degraded", database: "away" });
  });
});

describe("metrics()", () => {
  test("has a line for each promise and each kind of data, for alerts (keep.*)", async () => {
    page.pass(minuteMs);
    const text = await page.metrics();
    for (const { id } of policy) expect(text).toMatch(new RegExp(`^epithre_promise_broken\\{promise="${id.replace("*", "\\*")}"\\} [01]$`, "m"));
    expect(text).toMatch(/^epithre_promise_broken\{promise="keep\.usage"\} 0$/m);
    expect(text).toMatch(/^epithre_promise_broken\{promise="place\.jakarta"\} 1$/m);
    expect(text).toMatch(/^epithre_retention_margin_hours\{store="usage_events"\} 2160$/m);
    expect(text).toMatch(/^epithre_evidence_age_seconds 0/m);
  });
});
