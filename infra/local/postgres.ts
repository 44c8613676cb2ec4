/**
 * One real Postgres for this machine: the local stack's and the tests'. It listens on loopback only, keeps its
 * promises about durability (fsync, synchronous commit), cannot log a value, ends with the process that started
 * it, and starts again whatever way it ended.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Account, findHome, type PostgresHome, removeHome } from "./postgres-home.ts";
import { endProcessesIn, isReady, releaseOwnership, takeOwnership } from "./postgres-processes.ts";

export interface PostgresOptions {
  /** Folder of the stack; Postgres keeps to `postgres*` names in it. */
  dataDir: string;
  /** A free one is taken when not given. */
  port?: number;
  /** Takes each line that Postgres prints: start and end of the server, never a value (see `settings`). */
  log?: (line: string) => void;
  /** Settings of postgresql.conf that differ from ours, for tests. */
  settings?: Record<string, string>;
}

export interface RunningPostgres {
  /** Connects as superuser to the database `postgres`; for the migrator and for tests, never for a function. */
  url: string;
  port: number;
  pid: number;
  dataDirectory: string;
  /** Settles when the server has ended for whatever reason: its exit code, or null when a signal ended it. */
  exited: Promise<number | null>;
  stop(): Promise<void>;
}

/** Name of the superuser. */
const superuser = "postgres";

/** Milliseconds until the server must take connections; crash recovery replays at most `max_wal_size`. */
const startTimeoutMs = 60_000;

/** Milliseconds between two looks at the server's state. */
const lookIntervalMs = 10;

/** Milliseconds that memory shared with dying processes of a former server may take to come free. */
const sharedMemoryTimeoutMs = 15_000;

/** Milliseconds for an orderly end before an abrupt one: a checkpoint of at most `max_wal_size`. */
const stopTimeoutMs = 20_000;

/** Milliseconds for output to arrive that was written before the end. */
const lastWordsMs = 100;

/** Attempts at a free port: another program may take it between our look and the server's start. */
const portAttemptsMax = 5;

/** The last lines of output, kept to explain a failed start. */
const explanationLinesMax = 20;

/** No message of the server can quote a value, a statement or a row (content.none, design "Data"). */
const silentSettings = {
  log_min_messages: "fatal",
  log_error_verbosity: "terse",
  log_min_error_statement: "panic",
  log_statement: "none",
  log_min_duration_statement: "-1",
  log_parameter_max_length: "0",
  log_parameter_max_length_on_error: "0",
  log_connections: "",
  log_disconnections: "off",
  log_checkpoints: "off",
  log_autovacuum_min_duration: "-1",
  log_lock_waits: "off",
  log_temp_files: "-1",
  log_line_prefix: "%m ",
  logging_collector: "off",
};

const ourSettings = {
  ...silentSettings,
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  // An acknowledged settlement survives a crash of the machine.
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  // A machine with 1 GB of memory can run the whole stack.
  shared_buffers: "128MB",
  max_connections: "200",
  wal_buffers: "16MB",
  min_wal_size: "80MB",
  max_wal_size: "1GB",
  // What was erased is in the log as well. A checkpoint removes the segments that are over; taken for new ones, they would
  // keep their bytes until these are full.
  checkpoint_timeout: "5min",
  wal_recycle: "off",
  wal_init_zero: "on",
  // A query over 90 days of usage locks each of about 420 slices and their two indexes.
  max_locks_per_transaction: "256",
  // Every statement of ours takes less time than compiling it, or than starting workers for it.
  jit: "off",
  max_parallel_workers_per_gather: "0",
  timezone: "UTC",
  log_timezone: "UTC",
};

/** The environment of the server: nothing of ours, so that no PG* variable or locale of the caller steers it. */
const serverEnvironment = { LC_ALL: "C", TZ: "UTC" };

/** Starts Postgres for `dataDir`, made on first use. Throws one sentence that says what is in the way. */
export async function startPostgres({ dataDir, port, log = () => {}, settings = {} }: PostgresOptions): Promise<RunningPostgres> {
  const stackDir = resolve(dataDir);
  try {
    // Others may pass through, not list: the unprivileged account reaches its own folder in it.
    mkdirSync(stackDir, { recursive: true, mode: 0o711 });
    takeOwnership(stackDir);
  } catch (thrown) {
    throw explained(stackDir, thrown);
  }
  try {
    return await startOwned(stackDir, { port, log, settings });
  } catch (thrown) {
    releaseOwnership(stackDir);
    throw explained(stackDir, thrown);
  }
}

/** What the system refused, in words. */
const refusals: Record<string, string> = {
  EACCES: "permission denied; choose a folder of your own",
  EPERM: "permission denied; choose a folder of your own",
  ENOSPC: "no space left on the disk; free 200 MB",
  EROFS: "the file system is read-only; choose another folder",
  ENOTDIR: "part of the path is a file; choose another folder",
};

function explained(stackDir: string, thrown: unknown): unknown {
  const refusal = refusals[(thrown as NodeJS.ErrnoException).code ?? ""];
  return refusal ? new Error(`Cannot start Postgres in ${stackDir}: ${refusal}`) : thrown;
}

type OwnedOptions = Required<Omit<PostgresOptions, "dataDir" | "port">> & { port: number | undefined };

async function startOwned(stackDir: string, { port, log, settings }: OwnedOptions): Promise<RunningPostgres> {
  const home = await findHome(stackDir);
  const dataDirectory = join(home.folder, "data");
  await endProcessesIn(dataDirectory);
  const password = await initialise(stackDir, home);
  const server = await launch({ home, dataDirectory, port, settings: { ...ourSettings, ...settings }, log });
  const exited = server.exited.then((code) => {
    releaseOwnership(stackDir);
    return code;
  });
  return {
    url: `postgres://${superuser}:${password}@127.0.0.1:${server.port}/postgres`,
    port: server.port,
    pid: server.child.pid!,
    dataDirectory,
    exited,
    async stop() {
      server.child.kill("SIGINT");
      const abrupt = setTimeout(() => server.child.kill("SIGQUIT"), stopTimeoutMs);
      await exited;
      clearTimeout(abrupt);
    },
  };
}

/** Removes the data of a Postgres that does not run, for a fresh start. */
export async function removePostgres(dataDir: string): Promise<void> {
  const stackDir = resolve(dataDir);
  if (!existsSync(stackDir)) return;
  takeOwnership(stackDir);
  await endProcessesIn(join(stackDir, "postgres", "data"));
  removeHome(stackDir);
  rmSync(passwordFile(stackDir), { force: true });
  releaseOwnership(stackDir);
}

function passwordFile(stackDir: string): string {
  return join(stackDir, "postgres-password");
}

/** Makes the data directory where there is none, whole or not at all, and answers the superuser's password. */
async function initialise(stackDir: string, { account, runtime, folder }: PostgresHome): Promise<string> {
  const data = join(folder, "data");
  if (existsSync(data)) {
    if (existsSync(passwordFile(stackDir))) return readFileSync(passwordFile(stackDir), "utf8").trim();
    throw new Error(`Cannot start Postgres: ${passwordFile(stackDir)} is missing but there is data; restore it or use --fresh`);
  }
  for (const name of readdirSync(folder)) {
    if (name.startsWith("data.")) rmSync(join(folder, name), { recursive: true, force: true });
  }
  const password = randomBytes(24).toString("base64url");
  writeFileSync(passwordFile(stackDir), `${password}\n`, { mode: 0o600 });
  const unfinished = join(folder, `data.${process.pid}`);
  const initdbPassword = join(folder, "initdb-password");
  writeFileSync(initdbPassword, `${password}\n`, { mode: 0o600 });
  if (account) chownSync(initdbPassword, account.uid, account.gid);
  try {
    await runInitdb(runtime, account, ["--pgdata", unfinished, "--pwfile", initdbPassword]);
  } finally {
    rmSync(initdbPassword, { force: true });
  }
  renameSync(unfinished, data);
  return password;
}

async function runInitdb(runtime: string, account: Account | undefined, places: string[]): Promise<void> {
  const options = ["--username", superuser, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-instructions"];
  const child = spawn(join(runtime, "bin/initdb"), [...places, ...options], {
    ...account,
    cwd: "/",
    env: serverEnvironment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said = keepLines(child, () => {});
  const code = await exitOf(child);
  if (code !== 0) throw new Error(`Cannot create the database: initdb ended with ${code}; ${said.at(-1) ?? "it said nothing"}`);
}

interface Launch {
  home: PostgresHome;
  dataDirectory: string;
  port: number | undefined;
  settings: Record<string, string>;
  log: (line: string) => void;
}

interface Launched {
  child: ChildProcess;
  port: number;
  exited: Promise<number | null>;
}

/** Starts the server, again while what a former one left behind is still going away. */
async function launch({ home, dataDirectory, port, settings, log }: Launch): Promise<Launched> {
  const deadline = performance.now() + sharedMemoryTimeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    const takenPort = port ?? (await freePort());
    const { child, said, exited } = spawnServer(home, dataDirectory, { ...settings, port: String(takenPort) }, log);
    if (await becomesReady(child, exited, dataDirectory)) return { child, port: takenPort, exited };
    const text = said.join("\n");
    if (text.includes("shared memory block") && performance.now() < deadline) {
      await delay(lookIntervalMs * 10);
    } else if (!text.includes("could not create any TCP/IP sockets")) {
      throw new Error(`Cannot start Postgres: ${said.findLast((line) => line.includes("FATAL")) ?? said.at(-1) ?? "it said nothing"}`);
    } else if (port !== undefined || attempt >= portAttemptsMax) {
      throw new Error(`Cannot start Postgres: port ${takenPort} is in use; choose another`);
    }
  }
}

function spawnServer(home: PostgresHome, dataDirectory: string, settings: Record<string, string>, log: (line: string) => void) {
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(home.runtime, "bin/postgres"), ["-D", dataDirectory, ...flags], {
    ...home.account,
    cwd: "/",
    env: serverEnvironment,
    stdio: ["ignore", "ignore", "pipe"],
    // Its own session: Ctrl-C in the terminal reaches the stack, which stops the functions first.
    detached: true,
  });
  const said = keepLines(child, log);
  const watcher = child.pid === undefined ? undefined : spawnWatcher(child.pid, home.account);
  const exited = exitOf(child).finally(() => watcher?.kill("SIGKILL"));
  return { child, said, exited };
}

/** Ends the server when this process ends in whatever way: the system then closes the pipe that the watcher reads. */
function spawnWatcher(serverPid: number, account: Account | undefined): ChildProcess {
  const watcher = spawn("/bin/sh", ["-c", 'read -r _; kill -INT "$0"', String(serverPid)], {
    ...account,
    cwd: "/",
    env: {},
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watcher.unref();
  return watcher;
}

async function becomesReady(child: ChildProcess, exited: Promise<number | null>, dataDirectory: string): Promise<boolean> {
  let ended = false;
  void exited.then(() => (ended = true));
  const deadline = performance.now() + startTimeoutMs;
  while (!ended) {
    if (child.pid !== undefined && isReady(dataDirectory, child.pid)) return true;
    if (performance.now() > deadline) {
      child.kill("SIGQUIT");
      throw new Error(`Cannot start Postgres: not ready after ${startTimeoutMs / 1000} s`);
    }
    await delay(lookIntervalMs);
  }
  return false;
}

/** Settles once its last words are read; busy backends of a killed postmaster hold the pipe open, and are not waited for. */
function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((settle) => {
    child.once("error", () => settle(-1));
    child.once("exit", (code) => setTimeout(settle, lastWordsMs, code));
    child.once("close", (code) => settle(code));
  });
}

function keepLines(child: ChildProcess, log: (line: string) => void): string[] {
  const lines: string[] = [];
  let rest = "";
  child.once("error", (error: NodeJS.ErrnoException) => lines.push(`the program cannot be run (${error.code})`));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    for (const line of parts) {
      lines.push(line);
      if (lines.length > explanationLinesMax) lines.shift();
      log(line);
    }
  });
  return lines;
}

function freePort(): Promise<number> {
  return new Promise((settle, refuse) => {
    const probe = createServer();
    probe.once("error", refuse);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => settle((address as { port: number }).port));
    });
  });
}
