/** The whole product on one machine, from the database to the gateway: started in order, stopped in reverse. */
import { join } from "node:path";
import { rotatedDigestChain } from "#shared/digest-chain.ts";
import { flow } from "#shared/flow.ts";
import { openSession, withDatabase } from "#infra/operators/operators.ts";
import { makeReceiptKey, publicKeyOf } from "#infra/receipts/key.ts";
import { type Backends, realBackends, simulatedBackends } from "./backends.ts";
import { writeCanaryConfig } from "./canary-config.ts";
import { startCron } from "./cron.ts";
import { clearDataFolder, type DataFolder, endLeftProcesses, explainFileError, openDataFolder, processFolder } from "./data-folder.ts";
import { prepareDatabase } from "./database.ts";
import { answersReady, describeFunctions } from "./functions.ts";
import { expectFreePort, startGateway } from "./gateway.ts";
import { createGatewayMetrics } from "./gateway-metrics.ts";
import { type ObjectStorePlace, startObjectStore } from "./object-store.ts";
import { findFreePorts } from "./ports.ts";
import { removePostgres } from "./postgres.ts";
import { supervisePostgres } from "./postgres-supervisor.ts";
import { createProcesses, type Processes } from "./processes.ts";
import { type Progress, silent } from "./screen.ts";
import { openSecrets, type Secrets } from "./secrets.ts";
import { seed } from "./seed.ts";
import { startSmtpSink } from "./smtp-sink.ts";
import { readStackFile, type StackFile } from "./stack-file.ts";
import type { ProcessDefinition } from "./supervisor.ts";
import { gatewayUser, type LocalFunction } from "./system-api.ts";

export interface StackOptions {
  /** The repository. */
  appDir: string;
  dataDir: string;
  /** 0 takes a free one. */
  port: number;
  /** URLs of engines; none: the simulated backend. */
  backends: string[];
  /** None: a local one. */
  objectStore?: ObjectStorePlace | undefined;
  /** Start empty. */
  fresh: boolean;
  /** Ends a start that is under way. */
  signal?: AbortSignal;
  progress?: Progress;
}

export interface RunningStack {
  url: string;
  apiKey: string;
  /** A chat model to try. */
  model: string;
  /** What answers: `the simulated backend (no real model)`, or how many engines. */
  backends: string;
  dashboardUrl: string;
  /** `url` and `token` of the admin function's API; `user` and `password` of the gateway's. */
  admin: { url: string; token: string; user: string; password: string };
  mailDir: string;
  dataDir: string;
  /** Connects as superuser; for tests and for looking around. */
  databaseUrl: string;
  /** The process of each function as of now; it changes when one starts again. */
  pids(): Record<string, number>;
  stop(): Promise<void>;
}

/** Throws one sentence that says what is in the way, with all that was started stopped again. */
export async function startStack(options: StackOptions): Promise<RunningStack> {
  const parts = new AsyncDisposableStack();
  try {
    return await buildStack(options, parts);
  } catch (thrown) {
    await parts.disposeAsync();
    throw explainFileError(options.dataDir, thrown);
  }
}

async function buildStack(options: StackOptions, parts: AsyncDisposableStack): Promise<RunningStack> {
  const { appDir, signal = new AbortController().signal, progress = silent } = options;
  const step = createStep(progress, signal);
  const stack = await readStackFile(join(appDir, "stack.yml"));
  const names = Object.keys(stack.functions);
  const ports = await assignPorts([...names, simulatedBackend]);
  const backends = await chooseBackends(options.backends, ports.get(simulatedBackend)!);
  const folder = await prepareFolder(options, step, parts);
  const dataDir = folder.path;
  const secrets = await openSecrets(dataDir);
  const processes = createProcesses(signal);

  const password = await secrets.value("gateway-password");
  const functions = () => names.flatMap((name) => describeRunning(name, stack, processes));
  const metrics = createGatewayMetrics(functions);
  const system = { functions, invocations: metrics.invocations, password };
  const gateway = parts.adopt(await startGateway({ port: options.port, system, metrics, functionPorts: ports }), (one) => one.close());
  folder.announce(gateway.url);

  const postgres = await step("database", async () => parts.adopt(await supervisePostgres(dataDir), (one) => one.stop()));
  const database = await step("migrations", () => prepareDatabase(postgres.url, secrets));
  const mailDir = join(dataDir, "mail");
  const mail = parts.adopt(await startSmtpSink(mailDir), (one) => one.close());

  const store = options.objectStore ?? (await startLocalStore(dataDir, secrets, parts));

  if (options.backends.length === 0) {
    const definition = describeSimulatedBackend(appDir, dataDir, ports.get(simulatedBackend)!);
    await step("simulated backend", () => processes.start([definition], parts));
  }
  const settings = JSON.stringify(backends.settings);
  const sessionKey = await secrets.value("session-key", makeReceiptKey);
  const definitions = await describeFunctions(stack, {
    appDir,
    dataDir,
    secrets,
    knownSecrets: {
      ...database.secrets,
      "smtp-url": `smtp://127.0.0.1:${mail.port}`,
      "session-key": sessionKey,
      "object-store-login": store.login,
      "receipt-key": await secrets.value("receipt-key", makeReceiptKey),
      "audit-key": await secrets.value("audit-key", makeReceiptKey),
      "evidence-key": await secrets.value("evidence-key", makeReceiptKey),
      "digest-chain": await secrets.changed("digest-chain", (text) => rotatedDigestChain(text, Date.now())),
    },
    settings: {
      proxy: { backends: settings },
      reconcile: { backends: settings },
      "key-auth": { session_keys: JSON.stringify([publicKeyOf(sessionKey)]) },
      // The gateway here takes off what a caller says of itself.
      accounts: { client_address_header: "x-forwarded-for" },
      policy: { public_url: gateway.url },
      notify: { dashboard_url: `${gateway.url}/dashboard/` },
      // A passkey answers to names only, never to an address.
      admin: { console_url: `${gateway.url.replace("127.0.0.1", "localhost")}/function/admin/console/` },
      export: { object_store_url: store.url, object_store_bucket: store.bucket },
    },
    ports,
  });
  await step("functions", () => startFunctions(definitions, processes, parts));

  const adminUrl = `${gateway.url}/function/admin`;
  const operatorToken = await openOperatorSession(database.url, secrets);
  const seeding = { dataDir, adminUrl, operatorToken, models: backends.models, url: gateway.url, signal };
  const apiKey = await step("account, models and prices", () => seed(seeding));
  await writeCanaryConfig({ dataDir, url: gateway.url, apiKey, databaseUrl: database.url, store, password, ports, functions: names });
  parts.adopt(startCron({ stack, gatewayUrl: gateway.url, completed: metrics.cronCompleted }), (one) => one.stop());

  return {
    url: gateway.url,
    apiKey,
    model: backends.models.find((model) => model.kind === "chat")?.id ?? backends.models[0]!.id,
    backends: options.backends.length > 0 ? options.backends.join(", ") : "the simulated inference backend (no real model)",
    dashboardUrl: `${gateway.url}/dashboard/`,
    admin: { url: adminUrl, token: operatorToken, user: gatewayUser, password },
    mailDir,
    dataDir,
    databaseUrl: database.url,
    pids: () => processes.pids(names),
    async stop() {
      gateway.drain();
      await parts.disposeAsync();
    },
  };
}

/** The stack enters models and accounts as an operator of its own, by a token that lives on in its folder. */
async function openOperatorSession(databaseUrl: string, secrets: Secrets): Promise<string> {
  const token = await secrets.value("operator-token");
  return withDatabase(databaseUrl, (sql) => openSession(sql, "local-stack", operatorSessionDays, token));
}

async function startLocalStore(dataDir: string, secrets: Secrets, parts: AsyncDisposableStack): Promise<ObjectStorePlace> {
  return parts.adopt(await startObjectStore(join(dataDir, "objects"), await secrets.value("object-store")), (one) => one.close());
}

const simulatedBackend = "simulated-backend";

/** Days; each start begins them anew. */
const operatorSessionDays = 90;

type Step = <Result>(name: string, work: () => Promise<Result>) => Promise<Result>;

function createStep(progress: Progress, signal: AbortSignal): Step {
  return async function step(name, work) {
    signal.throwIfAborted();
    const finish = progress(name);
    const result = await work();
    finish();
    signal.throwIfAborted();
    return result;
  };
}

async function assignPorts(names: string[]): Promise<Map<string, number>> {
  const ports = await findFreePorts(names.length);
  return new Map(names.map((name, at) => [name, ports[at]!]));
}

function chooseBackends(urls: string[], simulatedPort: number): Backends | Promise<Backends> {
  return urls.length > 0 ? realBackends(urls) : simulatedBackends(simulatedPort);
}

/** Locks the folder and clears away what a killed stack left; data goes only when nothing known is in the way. */
async function prepareFolder({ dataDir, port, fresh }: StackOptions, step: Step, parts: AsyncDisposableStack): Promise<DataFolder> {
  const folder = parts.adopt(await openDataFolder(dataDir), (one) => one.release());
  await endLeftProcesses(folder.path);
  await expectFreePort(port);
  if (fresh) {
    await step("emptying the data folder", async () => {
      await removePostgres(folder.path);
      await clearDataFolder(folder.path);
    });
  }
  return folder;
}

/** Those that others call come first, and are stopped last, so that running calls are settled. */
async function startFunctions(definitions: ProcessDefinition[], processes: Processes, parts: AsyncDisposableStack): Promise<void> {
  const called = new Set<string>(flow.map((edge) => edge.to));
  await processes.start(definitions.filter(({ name }) => called.has(name)), parts);
  await processes.start(definitions.filter(({ name }) => !called.has(name)), parts);
}

function describeSimulatedBackend(appDir: string, dataDir: string, port: number): ProcessDefinition {
  return {
    name: simulatedBackend,
    command: [process.execPath, join(appDir, "infra/local/simulated-backend/main.ts"), "--port", String(port)],
    folder: processFolder(dataDir, simulatedBackend),
    environment: {},
    isReady: () => answersReady(`http://127.0.0.1:${port}/health`),
  };
}

/** What the gateway tells of a function, once it was started. */
function describeRunning(name: string, stack: StackFile, processes: Processes): LocalFunction[] {
  const running = processes.get(name);
  if (!running) return [];
  const { isReady, startedAtMs, log } = running;
  return [{ name, definition: stack.functions[name]!, available: isReady ? 1 : 0, createdAtMs: startedAtMs, log }];
}
