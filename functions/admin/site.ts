/** The operators' console: files read once at start, and nothing that is not among them. */
import { readdir, readFile } from "node:fs/promises";
import { EpithreError, errorResponse } from "#shared/errors.ts";
import { securityHeaders } from "#shared/page-headers.ts";

export type Console = (request: Request) => Response | undefined;

const contentTypes: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml; charset=utf-8",
};

/** The files of `web/` by name. */
export async function readFiles(folder: URL): Promise<Map<string, string>> {
  const names = await readdir(folder);
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, folder), "utf8")] as const)));
}

/** Answers what is asked below `/console`; undefined for all else. Paths in the pages are relative, behind any prefix. */
export function createConsole(files: ReadonlyMap<string, string>): Console {
  return function answer({ method, url }) {
    const [, name] = /^\/console(?:\/([a-z.-]*))?$/.exec(new URL(url).pathname) ?? [undefined, null];
    if (name === null) return undefined;
    // Without the slash at its end the address would make relative paths point elsewhere.
    if (name === undefined) return new Response(null, { status: 308, headers: { location: "console/", ...securityHeaders } });
    const text = files.get(name || "index.html");
    if (text === undefined) return errorResponse(new EpithreError("not_found", "Cannot find this page: the console is at /console/"));
    if (method !== "GET" && method !== "HEAD") {
      return errorResponse(new EpithreError("method_not_allowed", "Cannot answer this method here: use GET", { headers: { allow: "GET, HEAD" } }));
    }
    const contentType = contentTypes[(name || "index.html").split(".").at(-1)!]!;
    return new Response(method === "HEAD" ? null : text, {
      headers: { "content-type": contentType, "cache-control": "no-cache", ...securityHeaders },
    });
  };
}
