import { setTimeout as delay } from "node:timers/promises";
import { run, serve } from "openfaas-node";
import { createSessionOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { readConfig } from "#shared/config.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createInternalClient } from "#shared/http.ts";
import { createLog } from "#shared/log.ts";
import { microPerRupiah } from "#shared/money.ts";
import { createNetworkOf } from "./client-address.ts";
import { configShape } from "./config.ts";
import { createHandler, createInternal } from "./handler.ts";
import { createHasher } from "./hasher.ts";
import { createPasswords } from "./passwords.ts";
import { createSessionIssuer } from "./sessions.ts";
import { createThrottles } from "./throttles.ts";

/** Bytes. The largest body is a key's list of a hundred models. */
const bodyBytesMax = 32 * 1024;

/** Milliseconds: far longer than the database takes to write a few rows. */
const pauseMs = 250;

run(async () => {
  const config = readConfig(configShape);
  const log = createLog("accounts");
  const database = createDatabasePool({ url: config.databaseUrl, log });
  const keyAuth = createInternalClient({ from: "accounts", to: "key-auth", url: config.keyAuthUrl, edgeSecret: config.keyAuthSecret });
  const hasher = createHasher();
  return serve({
    name: "accounts",
    port: config.port,
    hostname: config.hostname,
    log,
    bodyBytesMax,
    handlerPath: "/v1/",
    handler: createHandler({
      database,
      passwords: createPasswords(hasher),
      issueSession: createSessionIssuer(config.sessionKey),
      sessionOf: createSessionOf(keyAuth),
      throttles: createThrottles(systemClock),
      pause: () => delay(pauseMs),
      networkOf: createNetworkOf(config.clientAddressHeader),
      signupCreditMicro: config.signupCreditAfter === "verified_email" ? BigInt(config.signupCreditRupiah) * BigInt(microPerRupiah) : null,
    }),
    nodeHandler: createInternal({ database }, { notify: config.notifySecret }).node,
    async onStop() {
      await Promise.all([database.close(), keyAuth.close(), hasher.close()]);
    },
  });
});
