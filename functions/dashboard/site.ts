/**
 * Everything the function can answer, prepared once at start: what is not in the map cannot be asked for, so there
 * is no path to escape from and no disk to read while serving.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { type Language, languages } from "#shared/languages.ts";
import { look } from "#shared/look.ts";
import type { PolicyText } from "#shared/policy-texts.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface Resource {
  contentType: string;
  /** Hex. Names these bytes; the gzip form needs another tag. */
  digest: string;
  identity: Bytes;
  gzip: Bytes;
}

export interface Site {
  /** Part of the addresses of assets: a new version is a new address, so an address never changes its content. */
  version: string;
  page(language: Language): Resource;
  asset(name: string): Resource | undefined;
}

const contentTypes: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json; charset=utf-8",
  svg: "image/svg+xml; charset=utf-8",
};

/** Characters of a version: 48 bits tell all versions of one site apart. */
const versionLength = 12;

/** The files of a folder by name; folders inside it are left out. */
export async function readFiles(folder: URL): Promise<Map<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  return new Map(await Promise.all(names.sort().map(async (name) => [name, await readFile(new URL(name, folder), "utf8")] as const)));
}

/** `files` are those of `web/`; index.html is the template of the pages, the others are assets. */
export function createSite(files: ReadonlyMap<string, string>, policy: readonly PolicyText[]): Site {
  const texts = new Map([
    ...files,
    ["style.css", look + textOf(files, "style.css")] as const,
    ["policy.json", JSON.stringify(policy)] as const,
  ]);
  const template = textOf(files, "index.html");
  texts.delete("index.html");
  const version = digestOf(JSON.stringify([template, ...texts])).slice(0, versionLength);
  const assets = new Map([...texts].map(([name, text]) => [name, resourceOf(name, text)]));
  const pages = languages.map((language) => {
    const strings = JSON.parse(textOf(files, `text.${language}.json`)) as Record<string, string>;
    return [language, resourceOf("index.html", fillTemplate(template, language, version, strings))] as const;
  });
  const pageIn = new Map(pages);
  return { version, page: (language) => pageIn.get(language)!, asset: (name) => assets.get(name) };
}

/**
 * Puts the words into the elements that name one (`data-t`) or an attribute of it (`data-t-placeholder`), so that the
 * first paint is in the right language and reads without JavaScript; the script does the same when the language changes.
 */
function fillTemplate(template: string, language: Language, version: string, strings: Record<string, string>): string {
  const word = (key: string) => {
    const text = strings[key];
    if (text === undefined) throw new Error(`Cannot build the page: text.${language}.json has no ${key}`);
    return escape(text);
  };
  return template
    .replaceAll("{language}", language)
    .replaceAll("{assets}", `/dashboard/${version}`)
    .replace(/ data-t-([a-z-]+)="([^"]+)"/g, (whole, attribute: string, key: string) => `${whole} ${attribute}="${word(key)}"`)
    .replace(/( data-t="([^"]+)"[^>]*>)(?=<\/)/g, (_, start: string, key: string) => start + word(key));
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function textOf(files: ReadonlyMap<string, string>, name: string): string {
  const text = files.get(name);
  if (text === undefined) throw new Error(`Cannot build the page: web/${name} is missing`);
  return text;
}

function resourceOf(name: string, text: string): Resource {
  const contentType = contentTypes[name.slice(name.lastIndexOf(".") + 1)];
  if (!contentType) throw new Error(`Cannot serve web/${name}: this kind of file has no content type here`);
  const identity = new TextEncoder().encode(text);
  return { contentType, digest: digestOf(text).slice(0, versionLength), identity, gzip: new Uint8Array(gzipSync(identity, { level: 9 })) };
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
