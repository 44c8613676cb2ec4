import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { policy as promises, type PolicyRow } from "#shared/policy.ts";
import { publicRoute } from "#infra/local/routes.ts";
import { systemClock } from "#shared/clock.ts";
import { createBillingPages } from "../../functions/billing/public.ts";
import { createHandler } from "../../functions/dashboard/handler.ts";
import { indonesian } from "../../functions/dashboard/policy-indonesian.ts";
import { policyTexts, sentencesOf } from "../../functions/dashboard/policy-texts.ts";
import { createSite, languages, readFiles } from "../../functions/dashboard/site.ts";
import { invoiceSettings } from "../support/invoices.ts";

const webFolder = new URL("../../functions/dashboard/web/", import.meta.url);
const files = await readFiles(webFolder);
const policy = [{ id: "keep.example", promise: { en: "Kept <here>", id: "Disimpan" }, limit: { en: "1 day" } }];
const site = createSite(files, policy);
const policyRows: readonly PolicyRow[] = promises;
const proof = { kind: "attested", role: "example", validDays: 1 } as const;
const dashboard = createHandler({ site });

/** Bytes of JavaScript that a visit costs at most, each file compressed as it is sent: far below the 100 KB that it may. */
const scriptBytesMax = 56 * 1024;

/** The function that answers a route of the API. */
function ownerOf(path: string): string {
  if (path.startsWith("/v1/usage")) return "export";
  if (/billing|prices/.test(path)) return "billing";
  return path.startsWith("/v1/account") ? "accounts" : "proxy";
}

function get(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  return dashboard(new Request(`http://dashboard.example.org${path}`, { method, headers }));
}

/** Every address that a text names: what HTML refers to, what modules import, what scripts load. */
function references(text: string, base: string): string[] {
  const named = [
    ...text.matchAll(/\b(?:src|href)="([^"#?][^"]*)"/g),
    ...text.matchAll(/\bfrom "(\.[^"]+)"/g),
    ...text.matchAll(/new URL\(["`]([^"`$]+)["`], import\.meta\.url\)/g),
  ].map((match) => match[1]!);
  return named.filter((address) => !address.startsWith("mailto:")).map((address) => new URL(address, base).href);
}

describe("every answer", () => {
  const asked: [string, string, number][] = [
    ["GET", "/", 200],
    ["HEAD", "/dashboard/", 200],
    ["GET", "/dashboard", 200],
    ["GET", "/dashboard/app.js", 200],
    ["GET", "/dashboard/policy.json", 200],
    ["GET", "/dashboard/nothing.js", 404],
    ["GET", "/dashboard/index.html", 404],
    ["POST", "/dashboard/nothing.js", 404],
    ["POST", "/", 405],
    ["DELETE", "/dashboard/app.js", 405],
    ["OPTIONS", "/dashboard/", 405],
  ];

  test.each(asked)("dashboard() answers %s %s with %i, closed to other origins and without a cookie (track.none)", async (method, path, status) => {
    const { headers, status: answered } = await get(path, {}, method);
    expect(answered).toBe(status);
    expect(headers.get("set-cookie")).toBeNull();
    expect(headers.get("access-control-allow-origin")).toBeNull();
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(Object.fromEntries(headers.get("content-security-policy")!.split("; ").map((line) => line.split(/ (.*)/)))).toEqual({
      "default-src": "'none'",
      "script-src": "'self'",
      "style-src": "'self'",
      "connect-src": "'self'",
      "img-src": "'self' data:",
      "base-uri": "'none'",
      "form-action": "'none'",
      "frame-ancestors": "'none'",
      "require-trusted-types-for": "'script'",
      "trusted-types": "'none'",
    });
    if (status === 405) expect(headers.get("allow")).toBe("GET, HEAD");
  });

  test("dashboard() keeps secrets of paths and methods out of its errors (content.none)", async () => {
    const answer = await get("/dashboard/ep_marker", {}, "POST");
    expect(await answer.text()).not.toContain("marker");
  });
});

describe("the page", () => {
  test.each([
    ["/", undefined, "en"],
    ["/", "id-ID,id;q=0.9,en;q=0.8", "id"],
    ["/", "fr, en;q=0.4, id;q=0.6", "id"],
    ["/", "id;q=0, en", "en"],
    ["/", "ja", "en"],
    ["/?lang=id", "en", "id"],
    ["/dashboard/?lang=en", "id", "en"],
    ["/dashboard/?lang=xx", "id", "id"],
    ["/?lang=constructor", undefined, "en"],
  ])("dashboard() answers %s for accept-language %s in %s", async (path, acceptLanguage, language) => {
    const answer = await get(path, acceptLanguage ? { "accept-language": acceptLanguage } : {});
    expect(answer.headers.get("content-language")).toBe(language);
    expect(answer.headers.get("vary")).toContain("accept-language");
    const page = await answer.text();
    expect(page).toContain(`<html lang="${language}">`);
    const strings = JSON.parse(files.get(`text.${language}.json`)!) as Record<string, string>;
    expect(page).toContain(`data-t="hero.lede">${strings["hero.lede"]}</p>`);
  });

  test("dashboard() fills every element that names a word, and leaves no placeholder", async () => {
    const page = await (await get("/")).text();
    expect(page).not.toMatch(/ data-t="[^"]+"[^>]*><\//);
    expect(page).not.toMatch(/\{(assets|language)\}/);
  });

  test("createSite() refuses to start without a word that the page names", () => {
    const strings = JSON.parse(files.get("text.id.json")!) as Record<string, string>;
    delete strings["key.hint"];
    expect(() => createSite(new Map([...files, ["text.id.json", JSON.stringify(strings)]]), policy)).toThrow(
      "Cannot build the page: text.id.json has no key.hint",
    );
  });

  test("the page has the same words in every language", () => {
    const [english, ...others] = languages.map((language) => {
      const strings = JSON.parse(files.get(`text.${language}.json`)!) as Record<string, string>;
      return Object.entries(strings).map(([key, text]) => `${key} ${text.match(/\{\w+\}/g)?.sort().join() ?? ""}`);
    });
    for (const other of others) expect(other).toEqual(english);
  });

  test("the page has each word that its scripts name, and no word that nothing names", () => {
    const scripts = [...files].filter(([name]) => name.endsWith(".js")).map(([, text]) => text);
    const words = Object.keys(JSON.parse(files.get("text.en.json")!) as Record<string, string>);
    const named = scripts.flatMap((text) => [...text.matchAll(/\bt\("([\w.]+)"/g)].map((match) => match[1]!));
    expect(named.length).toBeGreaterThan(60);
    expect(named.filter((word) => !words.includes(word))).toEqual([]);

    const everything = [...scripts, files.get("index.html")!].join();
    // Words that are chosen by what an answer says: `t(`scope.${name}`)`.
    const chosen = [...everything.matchAll(/`([a-z]+)\.\$\{/g)].map((match) => `${match[1]}.`);
    const unnamed = words.filter((word) => !everything.includes(`"${word}"`) && !chosen.some((start) => word.startsWith(start)));
    expect(unnamed).toEqual([]);
  });

  test("the page calls no route that the ingress and its function do not have", async () => {
    const away = (): never => {
      throw new Error("No route is answered here: OPTIONS asks which there are");
    };
    const database = { run: away, close: away };
    const pages = createBillingPages({ accountOf: away, database, statementDatabase: database, clock: systemClock, invoices: invoiceSettings });
    const calls = [...files].filter(([name]) => name.endsWith(".js")).flatMap(([, text]) => [...text.matchAll(/["`](\/v\d\/[^"`]+)["`]/g)]);
    const paths = new Set(calls.map((match) => match[1]!.replace(/\?.*/, "").replace(/\$\{extension\}/, "pdf").replace(/\$\{\w+\}/g, "id")));
    expect([...paths].filter((path) => path.startsWith("/v1/billing/")).length).toBeGreaterThan(5);
    for (const path of paths) {
      const to = publicRoute(path)?.to;
      expect([path, to]).toEqual([path, ownerOf(path)]);
      if (!path.startsWith("/v1/billing/")) continue;
      const answer = await pages(new Request(`http://billing${path}`, { method: "OPTIONS" }));
      expect([path, answer.status]).toEqual([path, 204]);
    }
  });

  test("the page has no inline script, style or handler, and no other origin in any file (track.none)", async () => {
    const page = await (await get("/")).text();
    expect(page).not.toMatch(/<script(?![^>]* src=)/);
    expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=/);
    for (const [name, text] of files) {
      const others = text.match(/(?:https?:)?\/\/[a-z0-9-]+\.[a-z][\w./-]*/gi) ?? [];
      expect([name, others.filter((address) => !address.includes("www.w3.org/2000/svg"))]).toEqual([name, []]);
    }
  });

  test("the scripts write text only, and keep nothing in the browser but the session (content.none, keep.session)", () => {
    for (const [name, text] of files) {
      if (!name.endsWith(".js")) continue;
      expect([name, text.match(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/)]).toEqual([name, null]);
      const others = text.match(/localStorage(?!\.(?:setItem|getItem|removeItem)\(item\b)/g);
      expect([name, name === "session.js" ? others : text.match(/localStorage/)]).toEqual([name, null]);
      expect([name, text.match(/sessionStorage|indexedDB|\bcaches\b|document\.cookie|sendBeacon|serviceWorker/)]).toEqual([name, null]);
    }
  });

  test("the fields for a key and for content tell the browser to keep nothing", async () => {
    const page = await (await get("/")).text();
    const fields = page.match(/<(?:input|select|textarea)\b[^>]*>/g)!;
    expect(fields.length).toBeGreaterThan(4);
    // A password manager may help with who somebody is, and with nothing else.
    const ofPerson = /autocomplete="(?:username|email|name|current-password|new-password)"/;
    for (const field of fields) expect(field).toMatch(ofPerson.test(field) ? /type="(?:email|password|text)"/ : /autocomplete="off"/);
    for (const field of fields.filter((one) => one.includes('type="password"'))) expect(field).toMatch(/autocomplete="(?:current|new)-password"/);
    for (const field of page.match(/<(?:input id="key-input"|textarea)[^>]*>/g)!) expect(field).toContain('spellcheck="false"');
    expect(page.match(/<input id="key-input"[^>]*>/)![0]).not.toContain('type="password"');
  });
});

describe("policy", () => {
  test("policyTexts() gives every promise and limit in English as the rows have them", () => {
    const texts = policyTexts(policyRows);
    expect(texts.map(({ id, promise }) => [id, promise.en])).toEqual(policyRows.map(({ id, promise }) => [id, promise]));
    const limits = new Map(texts.map(({ id, limit }) => [id, limit]));
    expect(limits.get("content.none")).toEqual({ en: "0 bytes", id: "0 byte" });
    expect(limits.get("keep.usage")).toEqual({ en: "90 days after the call", id: "90 hari setelah panggilan" });
    expect(limits.get("keep.billing")).toEqual({ en: "7 years after the event", id: "7 tahun setelah peristiwa" });
    expect(limits.get("right.export")).toEqual({ en: "at once", id: "seketika" });
    expect(limits.get("change.notice")).toEqual({ en: "at least 14 days after the mail", id: "sekurangnya 14 hari setelah surel" });
    expect(limits.get("sec.tls")).toEqual({ en: "TLS 1.2 or newer", id: "TLS 1.2 atau lebih baru" });
    expect(limits.get("use.usage")).toBeUndefined();
  });

  test("policyTexts() shows no translation of a promise that has changed", () => {
    const [row] = policyTexts([
      { id: "keep.example", promise: "Changed since it was translated.", limit: { amount: 2, unit: "days", since: "the day before" }, proof },
    ]);
    expect(row!.promise.id).toBeUndefined();
    expect(row!.limit).toEqual({ en: "2 days after the day before", id: undefined });
  });

  test("every sentence of the policy has its translation, and every translation its sentence", () => {
    expect(Object.keys(indonesian).sort()).toEqual([...new Set(sentencesOf(policyRows))].sort());
  });
});

describe("assets", () => {
  test("dashboard() serves everything that the page and its modules refer to, under addresses that never change", async () => {
    const origin = "http://dashboard.example.org";
    const waiting = [`${origin}/`];
    const seen = new Set<string>();
    let scriptBytes = 0;
    for (let address = waiting.pop(); address; address = waiting.pop()) {
      if (seen.has(address)) continue;
      seen.add(address);
      const answer = await get(new URL(address).pathname);
      const text = await answer.text();
      expect([address, answer.status]).toEqual([address, 200]);
      if (address !== `${origin}/`) expect(answer.headers.get("cache-control")).toContain("immutable");
      if (address.endsWith(".js")) scriptBytes += gzipSync(text, { level: 9 }).byteLength;
      waiting.push(...references(text, address));
    }
    const loaded = [...seen].map((address) => address.slice(address.lastIndexOf("/") + 1));
    const languageFiles = languages.map((language) => `text.${language}.json`);
    expect([...loaded, ...languageFiles].sort()).toEqual(["", "policy.json", ...files.keys()].filter((name) => name !== "index.html").sort());
    expect(scriptBytes).toBeLessThan(scriptBytesMax);
  });

  test("dashboard() lets a browser keep a versioned address for good, and asks it to come back for the others", async () => {
    const cacheControl = async (path: string) => (await get(path)).headers.get("cache-control");
    expect(await cacheControl(`/dashboard/${site.version}/app.js`)).toBe("public, max-age=31536000, immutable");
    expect(await cacheControl("/dashboard/0123456789ab/app.js")).toBe("no-cache");
    expect(await cacheControl("/dashboard/app.js")).toBe("no-cache");
    expect(await cacheControl("/")).toBe("no-cache");
  });

  test("createSite() gives another version to other files or another policy", () => {
    const changed = createSite(new Map([...files, ["mark.svg", "<svg/>"]]), policy);
    const otherPolicy = createSite(files, []);
    expect(new Set([site.version, changed.version, otherPolicy.version]).size).toBe(3);
  });

  test("dashboard() answers 304 to a browser that has the bytes, in the same encoding", async () => {
    for (const path of ["/", "/dashboard/app.js"]) {
      for (const encoding of ["identity", "gzip"]) {
        const headers = { "accept-encoding": encoding };
        const etag = (await get(path, headers)).headers.get("etag")!;
        const again = await get(path, { ...headers, "if-none-match": `"other", W/${etag}` });
        expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
        expect((await get(path, { ...headers, "if-none-match": '"other"' })).status).toBe(200);
      }
    }
    const tags = await Promise.all(["gzip", ""].map(async (encoding) => (await get("/", { "accept-encoding": encoding })).headers.get("etag")));
    expect(tags[0]).not.toBe(tags[1]);
  });

  test("dashboard() compresses for those who take it, byte for byte the same", async () => {
    const plain = await get("/dashboard/style.css", { "accept-encoding": "gzip;q=0, br" });
    const zipped = await get("/dashboard/style.css", { "accept-encoding": "br, gzip;q=0.5" });
    expect(plain.headers.get("content-encoding")).toBeNull();
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    const bytes = Buffer.from(await zipped.arrayBuffer());
    expect(zipped.headers.get("content-length")).toBe(String(bytes.byteLength));
    expect(gunzipSync(bytes).toString()).toBe(await plain.text());
  });

  test("dashboard() sends the headers of a GET to a HEAD, and no body", async () => {
    const [head, full] = [await get("/", {}, "HEAD"), await get("/")];
    expect(Object.fromEntries(head.headers)).toEqual(Object.fromEntries(full.headers));
    expect(await head.text()).toBe("");
  });

  test.each([
    "/dashboard/../main.ts",
    "/dashboard/..%2fmain.ts",
    "/dashboard/%2e%2e/main.ts",
    "/dashboard/..\\main.ts",
    "/dashboard//etc/passwd",
    "/dashboard/web/app.js",
    "/dashboard/app.js/",
    "/dashboard/app.js%00",
    "/dashboard/__proto__",
    "/dashboard/constructor",
    "/main.ts",
    "/v1/models",
  ])("dashboard() has no file at %s", async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  test("dashboard() serves the policy rows as they were given", async () => {
    expect(await (await get("/dashboard/policy.json")).json()).toEqual(policy);
  });
});
