/** What pages of this function have around them. One file each: the style is inside, and named by its digest to the browser. */
import { createHash } from "node:crypto";
import { type Language, languages } from "#shared/languages.ts";
import { look } from "#shared/look.ts";
import { html, Html } from "./html.ts";
import { style } from "./style.ts";
import type { Words } from "./words.ts";

const css = look + style;

/** Nothing runs, nothing is loaded, nothing is sent; the style is this one (track.none). */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(css).digest("base64")}'`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%230b6b45'/%3E%3Cpath d='M4 16h21.5a9.5 9.5 0 1 0-3.2 7.1' fill='none' stroke='%23fff' stroke-width='3.6' stroke-linecap='round'/%3E%3C/svg%3E";

export interface Page {
  language: Language;
  path: "/policy" | "/status";
  title: string;
  description: string;
  words: Words;
  body: Html;
}

const names: Record<Language, string> = { en: "English", id: "Bahasa Indonesia" };

export function layout({ language, path, title, description, words, body }: Page): string {
  const { nav } = words;
  const link = (to: string, name: string) => html`<li><a href="${to}?lang=${language}"${path === to && current}>${name}</a></li>`;
  return html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#f6f8f6" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#0d1210" media="(prefers-color-scheme: dark)">
<title>${title} – Epithre</title>
<meta name="description" content="${description}">
<link rel="icon" href="${icon}" type="image/svg+xml">
<style>${new Html(css)}</style>
</head>
<body>
<a class="skip" href="#main">${words.skip}</a>
<header class="top">
<a class="brand" href="/?lang=${language}"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M3 16h23a10 10 0 1 0-3.4 7.5"/></svg><span>Epithre</span></a>
<nav aria-label="Epithre"><ul>${link("/policy", nav.policy)}${link("/status", nav.status)}<li><a href="/dashboard/?lang=${language}">${nav.dashboard}</a></li></ul></nav>
<div class="languages" role="group" aria-label="${words.languageLabel}">${languages.map(
    (each) => html`<a href="${path}?lang=${each}" hreflang="${each}" lang="${each}"${each === language && current}>${each.toUpperCase()}<span class="unseen"> ${names[each]}</span></a>`,
  )}</div>
</header>
<main id="main" tabindex="-1">
${body}
</main>
<footer><p>${words.footer}</p></footer>
</body>
</html>
`.text;
}

const current = html` aria-current="page"`;
