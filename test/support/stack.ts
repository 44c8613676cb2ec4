/**
 * The whole product as a person starts it, for tests: `node infra/local/start.ts --json` on a free port and a
 * temporary data folder. What a test needs beyond the ready line (who runs, where the engine listens) is read from
 * /proc, so that the stack has no doors that exist for tests only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, type Sql } from "#shared/db.ts";
import type { BehaviourSetting } from "#infra/local/simulated-backend/backend.ts";
import type { Counts } from "#infra/local/simulated-backend/counts.ts";
import { createAdmin, type Admin } from "./admin-client.ts";
import { waitFor } from "./wait.ts";

/** Milliseconds for a first start on a small machine that runs other tests too. */
const startTimeoutMs = 120_000;
/** Milliseconds for an orderly end before an abrupt one. */
const stopTimeoutMs = 40_000;

const appDir = fileURLToPath(new URL("../../", import.meta.url));

/** The JSON line that `npm start -- --json` prints once everything answers. */
export interface ReadyLine {
  ready: true;
  url: string;
  apiKey: string;
  dashboardUrl: string;
  admin: Record<string, string>;
  mailDir: string;
  dataDir: string;
  databaseUrl: string;
  pids: Record<string, number>;
}

/** The simulated engine behind the stack. */
export interface Engine {
  url: string;
  counts(): Promise<Counts>;
  reset(): Promise<void>;
  behave(setting: BehaviourSetting): Promise<void>;
}

export interface Stack extends ReadyLine {
  /** As superuser: tests look at everything. */
  sql: Sql;
  engine: Engine;
  operator: Admin;
  /** Of the process that runs a function now; undefined between an end and the next start. */
  pidOf(name: string): number | undefined;
  /** The postmaster's. */
  postgresPid(): number | undefined;
  /** The settings that a running function was given. */
  environmentOf(name: string): Record<string, string>;
  close(): Promise<void>;
}

export interface OwnedStack extends Stack {
  /** All that the stack's own process printed so far. */
  output(): string;
  /** Ends the stack as Ctrl-C does and removes its folder. */
  stop(): Promise<void>;
  /** kill -9 of the stack's own process; its data stays for the next start. */
  kill(): Promise<void>;
}

export interface StackOptions {
  /** Further flags of `npm start`. */
  args?: string[];
  environment?: Record<string, string>;
  /** The folder of a stack that was killed; a new one by default. */
  dataDir?: string;
}

export async function startStack({ args = [], environment = {}, dataDir = newFolder() }: StackOptions = {}): Promise<OwnedStack> {
  const start = join(appDir, "infra/local/start.ts");
  const child = spawn(process.execPath, [start, "--json", "--port", "0", "--data", dataDir, ...args], {
    cwd: appDir,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const printed = keepOutput(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    const line = await readyLine(child, printed);
    const stack = attach(line);
    return {
      ...stack,
      output: printed.all,
      async stop() {
        await stack.close();
        await end(child, ended);
        rmSync(dataDir, { recursive: true, force: true });
      },
      async kill() {
        await stack.close();
        child.kill("SIGKILL");
        await ended;
      },
    };
  } catch (thrown) {
    await end(child, ended);
    rmSync(dataDir, { recursive: true, force: true });
    throw thrown;
  }
}

/** A folder that Postgres's account can enter: otherwise its data would go to a place of its own, and stay there. */
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "epithre-stack-"));
  chmodSync(folder, 0o711);
  return folder;
}

/** Helpers around a stack that runs already, in whatever process. */
export function attach(line: ReadyLine): Stack {
  const sql = connect({ url: line.databaseUrl, connections: 2, statementTimeoutMs: 30_000 });
  const folder = realpathSync(line.dataDir);
  const pidOf = (name: string) => processIn(join(folder, "processes", name));
  const environmentOf = (name: string) => environmentOfProcess(pidOf(name), name);
  const engine = engineAt((JSON.parse(environmentOf("proxy").backends!) as { url: string }[])[0]!.url);
  return {
    ...line,
    sql,
    engine,
    operator: createAdmin(line),
    pidOf,
    postgresPid: () => numberIn(join(folder, "postgres", "data", "postmaster.pid")),
    environmentOf,
    close: () => sql.end({ timeout: 1 }),
  };
}

function engineAt(url: string): Engine {
  const origin = new URL(url).origin;
  const post = async (path: string, body: unknown) => {
    const response = await fetch(origin + path, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`Cannot steer the simulated engine: it answers ${response.status}`);
  };
  return {
    url: origin,
    counts: async () => (await (await fetch(`${origin}/simulated/counts`)).json()) as Counts,
    reset: () => post("/simulated/reset", {}),
    behave: (setting) => post("/simulated/behaviour", setting),
  };
}

function keepOutput(child: ChildProcess) {
  let text = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding("utf8").on("data", (more: string) => (text += more));
  return { all: () => text };
}

async function readyLine(child: ChildProcess, printed: { all(): string }): Promise<ReadyLine> {
  const find = () =>
    printed
      .all()
      .split("\n")
      .find((line) => line.startsWith('{"ready":true'));
  await waitFor("the stack to be ready", () => find() !== undefined || child.exitCode !== null, startTimeoutMs);
  const line = find();
  if (line === undefined) throw new Error(`Cannot start the stack for tests: it ended; ${printed.all().trim().slice(-500)}`);
  return JSON.parse(line) as ReadyLine;
}

async function end(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGINT");
  const overdue = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
  await ended;
  clearTimeout(overdue);
}

/** The process that works in `folder` and runs a main.ts. */
function processIn(folder: string): number | undefined {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && link(name) === folder && file(name, "cmdline").includes("main.ts"))
    .map(Number)[0];
}

function environmentOfProcess(pid: number | undefined, name: string): Record<string, string> {
  if (pid === undefined) throw new Error(`Cannot read the settings of ${name}: it does not run`);
  const pairs = file(String(pid), "environ").split("\0").filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

function link(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

function file(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

function numberIn(path: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(path, "utf8"), 10);
  } catch {
    return undefined;
  }
}
