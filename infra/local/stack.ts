/** The whole product on one machine, from the database to the gateway: started in order, stopped in reverse. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { flow } from "#shared/flow.ts";
import { realBackends, simulatedBackends } from "./backends.ts";
import { startCron } from "./cron.ts";
import { clearDataFolder, endLeftProcesses, explainFileError, openDataFolder, processFolder } from "./data-folder.ts";
import { prepareDatabase } from "./database.ts";
import { answersReady, describeFunctions } from "./functions.ts";
import { startGateway } from "./gateway.ts";
import { createGatewayMetrics } from "./gateway-metrics.ts";
import { findFreePorts } from "./ports.ts";
import { removePostgres } from "./postgres.ts";
import { supervisePostgres } from "./postgres-supervisor.ts";
import { type Progress, silent } from "./screen.ts";
import { openSecrets } from "./secrets.ts";
import { seed } from "./seed.ts";
import { startSmtpSink } from "./smtp-sink.ts";
import { readStackFile, type StackFile } from "./stack-file.ts";
import { type ProcessDefinition, supervise, type SupervisedProcess } from "./supervisor.ts";
import { gatewayUser, type LocalFunction } from "./system-api.ts";

export interface StackOptions {
  /** The repository. */
  appDir: string;
  dataDir: string;
  /** 0 takes a free one. */
  port: number;
  /** URLs of engines; none: the simulated backend. */
  backends: string[];
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
  async function step<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const finish = progress(name);
    const result = await work();
    finish();
    signal.throwIfAborted();
    return result;
  }

  const stack = await readStackFile(join(appDir, "stack.yml"));
  const names = Object.keys(stack.functions);
  const folder = await openDataFolder(options.dataDir);
  parts.defer(() => folder.release());
  const dataDir = folder.path;
  const mailDir = join(dataDir, "mail");
  await endLeftProcesses(dataDir);
  if (options.fresh) await step("emptying the data folder", () => removeData(dataDir));

  const ports = await assignPorts([...names, simulatedBackend]);
  const backends = options.backends.length > 0 ? await realBackends(options.backends) : simulatedBackends(ports.get(simulatedBackend)!);
  const secrets = await openSecrets(dataDir);
  const password = await secrets.value("gateway-password");
  const operatorToken = await secrets.value("operator-token");
  const processes = new Map<string, SupervisedProcess>();
  const functions = () => names.flatMap((name) => describeRunning(name, stack, processes.get(name)));
  const metrics = createGatewayMetrics(functions);
  const gateway = await startGateway({
    port: options.port,
    system: { functions, invocations: metrics.invocations, password },
    metrics,
    functionPorts: ports,
  });
  parts.defer(() => gateway.close());
  folder.announce(gateway.url);

  const postgres = await step("database", () => supervisePostgres(dataDir));
  parts.defer(() => postgres.stop());
  const database = await step("migrations", () => prepareDatabase(postgres.url, secrets));
  const mail = await startSmtpSink(mailDir);
  parts.defer(() => mail.close());

  async function start(definitions: ProcessDefinition[]): Promise<void> {
    for (const { folder } of definitions) await mkdir(folder, { recursive: true, mode: 0o700 });
    const started = definitions.map(supervise);
    parts.defer(async () => void (await Promise.all(started.map((one) => one.stop()))));
    for (const one of started) processes.set(one.name, one);
    await whileNotAborted(signal, Promise.all(started.map((one) => one.firstReady())));
  }

  if (options.backends.length === 0) {
    await step("simulated backend", () => start([describeSimulatedBackend(appDir, dataDir, ports.get(simulatedBackend)!)]));
  }
  await step("functions", async () => {
    const definitions = await describeFunctions(stack, {
      appDir,
      dataDir,
      secrets,
      knownSecrets: { ...database.secrets, "smtp-url": `smtp://127.0.0.1:${mail.port}` },
      settings: { proxy: { backends: JSON.stringify(backends.settings) } },
      ports,
    });
    // Stopped in reverse: who is called by others goes last, so that running calls are settled.
    const called = new Set<string>(flow.map((edge) => edge.to));
    await start(definitions.filter(({ name }) => called.has(name)));
    await start(definitions.filter(({ name }) => !called.has(name)));
  });

  const adminUrl = `${gateway.url}/function/admin`;
  const seeding = { dataDir, adminUrl, operatorToken, models: backends.models, url: gateway.url, signal };
  const apiKey = await step("account, models and prices", () => seed(seeding));
  const schedule = startCron({ stack, gatewayUrl: gateway.url, completed: metrics.cronCompleted });
  parts.defer(() => schedule.stop());

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
    pids: () => Object.fromEntries(names.flatMap((name) => pidOf(name, processes.get(name)))),
    async stop() {
      gateway.drain();
      await parts.disposeAsync();
    },
  };
}

const simulatedBackend = "simulated-backend";

async function removeData(dataDir: string): Promise<void> {
  await removePostgres(dataDir);
  await clearDataFolder(dataDir);
}

async function assignPorts(names: string[]): Promise<Map<string, number>> {
  const ports = await findFreePorts(names.length);
  return new Map(names.map((name, at) => [name, ports[at]!]));
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

/** What the gateway tells of a function; before its first start it is there, and takes no requests. */
function describeRunning(name: string, stack: StackFile, running: SupervisedProcess | undefined): LocalFunction[] {
  if (!running) return [];
  const { isReady, startedAtMs, log } = running;
  return [{ name, definition: stack.functions[name]!, available: isReady ? 1 : 0, createdAtMs: startedAtMs, log }];
}

function pidOf(name: string, running: SupervisedProcess | undefined): [string, number][] {
  return running?.pid === undefined ? [] : [[name, running.pid]];
}

/** `work`, or the reason of the abort, whichever comes first. */
async function whileNotAborted<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
