import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { createLog } from "#shared/log.ts";
import { policy } from "#shared/policy.ts";
import { policyTexts } from "#shared/policy-texts.ts";
import { createHandler } from "./handler.ts";
import { createSite, readFiles } from "./site.ts";

/** Bytes. Nobody needs to send the dashboard a body. */
const bodyBytesMax = 1_024;

run(async () => {
  const config = readConfig({});
  const files = await readFiles(new URL("./web/", import.meta.url));
  return serve({
    name: "dashboard",
    port: config.port,
    hostname: config.hostname,
    log: createLog("dashboard"),
    bodyBytesMax,
    handler: createHandler({ site: createSite(files, policyTexts(policy)) }),
  });
});
