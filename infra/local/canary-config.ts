/** What `npm run canary` is told of this stack: all of its stores, and the developer's account as the one that calls. */
import { existsSync } from "node:fs";
import { mkdir, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { z } from "zod";
import type { Config } from "#infra/canary/config.ts";
import { writePrivateFile } from "./data-folder.ts";
import type { ObjectStorePlace } from "./object-store.ts";
import { developerEmail } from "./seed.ts";
import { gatewayUser } from "./system-api.ts";

export interface CanaryPlace {
  dataDir: string;
  /** Of the gateway. */
  url: string;
  apiKey: string;
  /** As superuser. */
  databaseUrl: string;
  store: ObjectStorePlace;
  /** Of the gateway. */
  password: string;
  functions: readonly string[];
  ports: ReadonlyMap<string, number>;
}

type Settings = z.input<typeof Config>;
type StoreSettings = Settings["stores"][number];

/** Of the whole machine, and of this process where it has its own. */
const temporaryFolders = [...new Set(["/tmp", "/var/tmp", "/dev/shm", tmpdir()])];

/** A metric of each function that has any. */
const knownMetrics: Record<string, string> = { proxy: "epithre_proxy_running_calls", reconcile: "epithre_reconcile" };

/** Seconds: notify sends mail once a minute. */
const patienceSeconds = 120;

export async function writeCanaryConfig({ dataDir, url, apiKey, databaseUrl, store, password, functions, ports }: CanaryPlace): Promise<void> {
  const folder = join(dataDir, "canary");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const secret = async (name: string, content: string) => {
    await writePrivateFile(join(folder, name), content);
    return join(folder, name);
  };
  const authorizationFile = await secret("gateway-login", `Basic ${Buffer.from(`${gatewayUser}:${password}`).toString("base64")}`);
  const postgres = await realpath(join(dataDir, "postgres"));
  const page = (name: string, address: string, text: string): StoreSettings => ({ kind: "url", name, url: address, control: { text }, authorizationFile });
  const temporary = (path: string): StoreSettings => ({
    kind: "folder", name: `temporary files ${nameOf(path)}`, path, control: "file", recentOnly: true, except: [dataDir, postgres],
  });
  const config: Settings = {
    url,
    apiKeyFile: await secret("api-key", apiKey),
    email: developerEmail,
    checkpointUrlFile: await secret("database-url", databaseUrl),
    patienceSeconds,
    stores: [
      { kind: "folder", name: "database", path: postgres, control: "request-id", except: [join(postgres, "data", "pg_wal")] },
      { kind: "folder", name: "write-ahead log", path: join(postgres, "data", "pg_wal"), control: "request-id" },
      { kind: "folder", name: "mail", path: join(dataDir, "mail"), control: "mail" },
      // Core files would lie there too: each process works in a folder of it.
      { kind: "folder", name: "data folder", path: dataDir, control: "file", except: [join(dataDir, "mail"), join(dataDir, "postgres")] },
      ...temporaryFolders.filter(existsSync).map(temporary),
      { kind: "object-store", name: "object store", url: store.url, bucket: store.bucket, loginFile: await secret("object-store-login", store.login) },
      page("metrics of the gateway", `${url}/metrics`, "gateway_function_invocation_total"),
      ...functions.map((name) => page(`log of ${name}`, `${url}/system/logs?name=${name}&tail=-1`, `\\"function\\":\\"${name}\\"`)),
      ...Object.entries(knownMetrics).map(([name, metric]) => page(`metrics of ${name}`, `http://127.0.0.1:${ports.get(name)}/_/metrics`, metric)),
    ],
  };
  await writePrivateFile(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
}

const nameOf = (path: string) => path.toLowerCase().replace(/[^a-z0-9]+/g, " ").trim().slice(0, 40);
