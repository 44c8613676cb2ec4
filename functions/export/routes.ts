/** Which answer is at which path. */
import { EpithreError } from "#shared/errors.ts";
import { createCsvReceipt } from "./csv-receipt.ts";
import { createFileRoutes } from "./file-routes.ts";
import type { Answer, Parts } from "./parts.ts";
import { csvPath, eventsPath, exportsPath, keysPath, receiptPath, summaryPath, usagePath } from "./paths.ts";
import { createUsageCsv } from "./usage-csv.ts";
import { createUsageEvents } from "./usage-events.ts";
import { createUsageReceipt } from "./usage-receipt.ts";
import { createUsageSummary } from "./usage-summary.ts";

/** Of one's own, by method. */
type OwnRoute = Partial<Record<"GET" | "POST", Answer>>;

export interface Routes {
  /** By their whole paths. */
  paths: Record<string, OwnRoute>;
  /** Behind an export's id: nothing, `/link`, `/receipt`. */
  ofExport: Record<string, OwnRoute>;
  ofRequest: OwnRoute;
}

/** What is at a path: something of one's own, a file by its link, or the public keys. */
export interface FoundRoute {
  own?: OwnRoute;
  /** What stands in the path for an id. */
  rest: string;
  file?: { id: string; token: string };
}

/** What the secret part of a link looks like: no other route behind an id does. */
const tokenForm = /^[\w-]{43}$/;

export function createRoutes(parts: Parts): Routes {
  const files = createFileRoutes(parts);
  return {
    paths: {
      [summaryPath]: { GET: createUsageSummary(parts) },
      [csvPath]: { GET: createUsageCsv(parts) },
      [receiptPath]: { GET: createCsvReceipt(parts) },
      [eventsPath]: { GET: createUsageEvents(parts) },
      [exportsPath]: { GET: files.list, POST: files.ask },
    },
    ofExport: { "": { GET: files.status }, "/link": { POST: files.link }, "/receipt": { GET: files.receipt } },
    ofRequest: { GET: createUsageReceipt(parts) },
  };
}

export function findRoute({ paths, ofExport, ofRequest }: Routes, pathname: string): FoundRoute {
  if (pathname === keysPath) return { rest: "" };
  if (Object.hasOwn(paths, pathname)) return { own: paths[pathname]!, rest: "" };
  if (pathname.startsWith(`${exportsPath}/`)) {
    const [id = "", ...more] = pathname.slice(exportsPath.length + 1).split("/");
    const [token] = more;
    if (token !== undefined && more.length === 1 && tokenForm.test(token)) return { rest: "", file: { id, token } };
    const behind = more.map((part) => `/${part}`).join("");
    if (Object.hasOwn(ofExport, behind)) return { own: ofExport[behind]!, rest: id };
  } else if (pathname.startsWith(usagePath)) return { own: ofRequest, rest: pathname.slice(usagePath.length) };
  throw new EpithreError("unknown_url", `Cannot find this route: usage is at ${summaryPath}, ${csvPath}, ${usagePath}{request_id} and ${exportsPath}`);
}
