import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { createLog } from "#shared/log.ts";
import { createHandler } from "./handler.ts";

/** Bytes. Choose the largest body that makes sense. */
const bodyBytesMax = 64 * 1024;

run(async () => {
  const config = readConfig({});
  const log = createLog("new-function");
  return serve({
    name: "new-function",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler(),
  });
});
