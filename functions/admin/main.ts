import { run, serve } from "openfaas-node";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createLog } from "#shared/log.ts";
import { microPerRupiah } from "#shared/money.ts";
import { configShape } from "./config.ts";
import { createConsole, readFiles } from "./site.ts";
import { createHandler } from "./handler.ts";

/** Bytes. The largest body is a key's list of a hundred models. */
const bodyBytesMax = 64 * 1024;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("admin");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const signupCredit = { micro: BigInt(config.signupCreditRupiah) * BigInt(microPerRupiah), after: config.signupCreditAfter };
  return serve({
    name: "admin",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handler: createHandler({
      database,
      log,
      console: createConsole(await readFiles(new URL("./web/", import.meta.url))),
      consoleUrl: config.consoleUrl,
      relyingPartyId: config.relyingPartyId ?? new URL(config.consoleUrl).hostname,
      retirementNoticeDays: config.retirementNoticeDays,
      signupCredit,
    }),
    onStop: () => database.close(),
  });
});
