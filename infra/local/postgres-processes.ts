/**
 * Which processes use a data directory. A Postgres process works inside its data directory, so /proc tells
 * exactly which ones belong to it, also those of a stack that was killed; a pid in a file would only suggest it.
 */
import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Milliseconds for an orderly end (a checkpoint of at most max_wal_size), then for an abrupt one. */
const orderlyEndMs = 20_000;
const abruptEndMs = 5_000;

/** Milliseconds between two looks at /proc. */
const lookIntervalMs = 20;

/** The processes whose working directory is `dataDirectory`. */
export function processesIn(dataDirectory: string): number[] {
  let real: string;
  try {
    real = realpathSync(dataDirectory);
  } catch {
    return [];
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => linkOf(pid) === real);
}

function linkOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

function signal(pids: number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended meanwhile.
    }
  }
}

async function endedWithin(dataDirectory: string, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (processesIn(dataDirectory).length > 0) {
    if (performance.now() > deadline) return false;
    await delay(lookIntervalMs);
  }
  return true;
}

/** Ends what a killed stack left running: the postmaster in order, stray backends at once. */
export async function endProcessesIn(dataDirectory: string): Promise<void> {
  if (processesIn(dataDirectory).length > 0) {
    const postmaster = postmasterPid(dataDirectory);
    const running = processesIn(dataDirectory);
    if (postmaster !== undefined && running.includes(postmaster)) {
      signal([postmaster], "SIGINT");
      if (!(await endedWithin(dataDirectory, orderlyEndMs))) signal(processesIn(dataDirectory), "SIGQUIT");
    } else {
      signal(running, "SIGQUIT");
    }
    if (!(await endedWithin(dataDirectory, abruptEndMs))) signal(processesIn(dataDirectory), "SIGKILL");
    if (!(await endedWithin(dataDirectory, abruptEndMs))) {
      throw new Error(`Cannot start Postgres: an earlier one still runs in ${dataDirectory}; end it first`);
    }
  }
  // Its pid may be another process's by now, which would make Postgres refuse to start.
  rmSync(join(dataDirectory, "postmaster.pid"), { force: true });
}

function postmasterPid(dataDirectory: string): number | undefined {
  return Number(postmasterLine(dataDirectory, 0)) || undefined;
}

/** Whether the postmaster says that it takes connections (line 8 of its pid file). */
export function isReady(dataDirectory: string, pid: number): boolean {
  return Number(postmasterLine(dataDirectory, 0)) === pid && postmasterLine(dataDirectory, 7)?.trim() === "ready";
}

function postmasterLine(dataDirectory: string, line: number): string | undefined {
  try {
    return readFileSync(join(dataDirectory, "postmaster.pid"), "utf8").split("\n")[line];
  } catch {
    return undefined;
  }
}

/**
 * Makes this process the one that runs Postgres for `dataDir`. Throws when another process that still lives is;
 * a pid alone may have been given to another program since, so its start time is compared as well.
 */
export function takeOwnership(dataDir: string): void {
  const file = join(dataDir, "postgres.owner");
  const mine = join(dataDir, `postgres.owner.${randomUUID()}`);
  writeFileSync(mine, identityOf(process.pid) ?? "", { mode: 0o600 });
  try {
    for (;;) {
      try {
        linkSync(mine, file);
        return;
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
      }
      const owner = readFileSync(file, "utf8");
      const pid = Number(owner.split(" ")[0]);
      if (pid !== process.pid && owner !== "" && identityOf(pid) === owner) {
        throw new Error(`Cannot start Postgres: process ${pid} already runs it in ${dataDir}; stop that one first`);
      }
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

export function releaseOwnership(dataDir: string): void {
  rmSync(join(dataDir, "postgres.owner"), { force: true });
}

/**
 * `<pid> <start time in clock ticks>` of a process that lives: fields 3 (state) and 22 of proc(5), counted after the
 * name in parentheses. A zombie has ended; only its parent has not noticed yet.
 */
function identityOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : `${pid} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
