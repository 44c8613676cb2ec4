/** The policy, whether it holds, and what works now: for everybody, without a login. It only reads. */
import { EpithreError, errorResponse } from "#shared/errors.ts";
import { languageOf } from "#shared/languages.ts";
import { securityHeaders } from "#shared/page-headers.ts";
import type { ReceiptKey } from "#shared/receipts.ts";
import type { Clock } from "#shared/clock.ts";
import type { BackupWindowDays } from "#shared/stored-data.ts";
import type { Evidence } from "./evidence.ts";
import { contentSecurityPolicy } from "./layout.ts";
import { policyPage } from "./page.ts";
import { evidencePath, keysPath } from "./paths.ts";
import { policyJson } from "./policy-data.ts";
import { securityTxt } from "./security-txt.ts";
import type { Status } from "./status.ts";
import { statusJson, statusPage } from "./status-page.ts";

export interface Deps {
  evidence: () => Promise<Evidence>;
  status: () => Promise<Status>;
  key: ReceiptKey;
  publicUrl: string;
  backupWindowDays: BackupWindowDays;
  clock: Clock;
}

interface Content {
  type: "text/html" | "application/json" | "text/plain";
  body: string;
  language?: string;
}

/** Seconds that caches on the way may keep an answer: less than evidence and status are kept here. */
const cacheS = 10;

export function createHandler(deps: Deps): (request: Request) => Promise<Response> {
  const { evidence, status, key, publicUrl, backupWindowDays, clock } = deps;
  const json = (body: string): Content => ({ type: "application/json", body });
  const data = json(policyJson(backupWindowDays));
  const keys = json(JSON.stringify({ keys: [key] }));

  const routes: Record<string, (language: ReturnType<typeof languageOf>) => Promise<Content>> = {
    "/policy": async (language) => ({ type: "text/html", body: policyPage(await evidence(), language), language }),
    "/policy.json": async () => data,
    [evidencePath]: async () => json((await evidence()).document),
    [keysPath]: async () => keys,
    "/.well-known/security.txt": async () => ({ type: "text/plain", body: securityTxt(publicUrl, clock.wallMs()) }),
    "/status": async (language) => ({ type: "text/html", body: statusPage(await status(), language), language }),
    "/status.json": async () => json(statusJson(await status())),
  };

  async function answer({ method, url, headers }: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(url);
    const path = pathname.replace(/(?<=.)\/$/, "");
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (!route) throw new EpithreError("not_found", "Cannot find this page: the policy is at /policy, and what works now at /status");
    if (method !== "GET" && method !== "HEAD") {
      throw new EpithreError("method_not_allowed", "Cannot answer this method here: use GET", { headers: { allow: "GET, HEAD" } });
    }
    return send(method, await route(languageOf(searchParams.get("lang"), headers.get("accept-language"))));
  }

  return async function policy(request) {
    const response = await answer(request).catch(errorResponse);
    for (const [name, value] of Object.entries({ ...securityHeaders, "content-security-policy": contentSecurityPolicy })) {
      if (!response.headers.has(name)) response.headers.set(name, value);
    }
    return response;
  };
}

function send(method: string, { type, body, language }: Content): Response {
  return new Response(method === "HEAD" ? null : body, {
    headers: {
      "content-type": `${type}; charset=utf-8`,
      "content-length": String(Buffer.byteLength(body)),
      "cache-control": `public, max-age=${cacheS}`,
      ...(language === undefined ? {} : { "content-language": language, vary: "accept-language" }),
      // Data about nobody, for any page and program.
      ...(type === "application/json" ? { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" } : {}),
    },
  });
}
