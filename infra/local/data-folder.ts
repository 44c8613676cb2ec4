/**
 * The folder that the local stack keeps everything in, and the lock on it. The lock is a Linux abstract socket
 * named after the folder itself: the system drops it with the process, so a killed stack leaves none behind, and
 * whoever meets it can ask who holds it.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { access, constants, mkdir, readFile, realpath, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export interface DataFolder {
  path: string;
  /** What a second start on the same folder is told. */
  announce(url: string): void;
  release(): Promise<void>;
}

/** Bytes. An empty database with its write-ahead log takes about 120 MB; the rest is room to run. */
const freeBytesMin = 300 * 1024 * 1024;

/** Others may pass through to the folder of Postgres's account, and see nothing. */
const folderMode = 0o711;

/** What the stack makes in the folder; `--fresh` removes these and Postgres's, and nothing else. */
const ownEntries = ["secrets", "processes", "mail", "objects", "canary", "development-account.json"];

/** What the system refused, in words. */
const refusals: Record<string, string> = {
  EACCES: "permission denied; give --data a folder that you own",
  EPERM: "permission denied; give --data a folder that you own",
  EROFS: "the file system is read-only; give --data another folder",
  ENOSPC: "the disk is full; free 300 MB, or give --data a folder on another disk",
  EDQUOT: "your disk quota is used up; free 300 MB, or give --data a folder on another disk",
  ENOTDIR: "a part of this path is a file; give --data another folder",
  EEXIST: "it is a file; give --data a folder",
  ENAMETOOLONG: "the path is too long; give --data a shorter one",
  ELOOP: "the path is a circle of links; give --data another folder",
};

/** The sentence for a system error on `path`; any other error unchanged. */
export function explainFileError(path: string, thrown: unknown): unknown {
  const refusal = refusals[(thrown as NodeJS.ErrnoException).code ?? ""];
  return refusal ? new Error(`Cannot use ${path} for the stack's data: ${refusal}`) : thrown;
}

/** Makes the folder where there is none, and locks it. Throws one sentence that says what is in the way. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  try {
    await makeFolder(resolve(path));
    const real = await realpath(path);
    await access(real, constants.R_OK | constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(real);
    if (bavail * bsize < freeBytesMin) throw Object.assign(new Error(), { code: "ENOSPC" });
    return await lock(real);
  } catch (thrown) {
    throw explainFileError(path, thrown);
  }
}

/** Not by mkdir's own `recursive`, which never ends below /proc. */
async function makeFolder(path: string): Promise<void> {
  if (existsSync(path) && (await stat(path)).isDirectory()) return;
  if (!existsSync(dirname(path))) await makeFolder(dirname(path));
  await mkdir(path, { mode: folderMode }).catch((thrown: NodeJS.ErrnoException) => {
    throw thrown.code === "ENOENT" ? new Error(`Cannot make ${path}: the system allows no folder there; give --data another one`) : thrown;
  });
}

async function lock(path: string): Promise<DataFolder> {
  const { dev, ino } = await stat(path);
  const name = `\0epithre-stack-${dev}-${ino}`;
  let url = "still starting";
  const server = createServer((socket) => socket.on("error", () => {}).end(`process ${process.pid}, ${url}`));
  await new Promise<void>((settle, fail) => {
    server.once("error", async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE") return fail(error);
      fail(new Error(`Cannot use ${path} for the stack's data: another stack is running on it (${await holder(name)}); stop that one, or give --data another folder`));
    });
    server.listen(name, settle);
  });
  server.unref();
  return {
    path,
    announce: (address) => (url = address),
    release: () => new Promise((settle) => server.close(() => settle())),
  };
}

async function holder(name: string): Promise<string> {
  try {
    let text = "";
    for await (const piece of connect(name).setTimeout(1_000).setEncoding("utf8")) text += piece;
    return text;
  } catch {
    return "it does not say which";
  }
}

/** Removes what former stacks made in the folder, but Postgres's data. */
export async function clearDataFolder(path: string): Promise<void> {
  for (const name of ownEntries) await rm(join(path, name), { recursive: true, force: true });
}

/** Milliseconds for killed processes to be gone. */
const leftProcessesEndMs = 5_000;

/** The folder that one process of the stack works in. */
export function processFolder(path: string, name: string): string {
  return join(path, "processes", name);
}

/**
 * Ends what a killed stack left running. Each process works in its own folder under `processes`, so /proc tells
 * which ones are ours; a pid in a file would only suggest it. They are orphans: nothing that they hold counts.
 */
export async function endLeftProcesses(path: string): Promise<void> {
  const deadline = performance.now() + leftProcessesEndMs;
  for (let pids = leftProcesses(path); pids.length > 0; pids = leftProcesses(path)) {
    if (performance.now() > deadline) {
      throw new Error(`Cannot start: process ${pids[0]} of an earlier stack on ${path} does not end; end it first`);
    }
    for (const pid of pids) kill(pid);
    await delay(20);
  }
}

/** A shell that somebody opened in one of these folders is not ours: ours run a main.ts. */
function leftProcesses(path: string): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .map(Number)
    .filter((pid) => of(pid, "cwd").startsWith(processFolder(path, "")) && of(pid, "cmdline").includes("/main.ts"));
}

/** What /proc says of a process; nothing when it has ended or is another account's. */
function of(pid: number, what: "cwd" | "cmdline"): string {
  try {
    return what === "cwd" ? readlinkSync(`/proc/${pid}/cwd`) : readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile, or stays and is named above.
  }
}

/** What is in the file, or what `make` answers, kept in it from then on; only this account can read it. */
export async function keepInFile(path: string, make: () => string): Promise<string> {
  if (existsSync(path)) return readFile(path, "utf8");
  const content = make();
  await writePrivateFile(path, content);
  return content;
}

/** Whole or not at all: a start that is killed here leaves no half secret to the next. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const unfinished = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(unfinished, content, { mode: 0o600 });
  await rename(unfinished, path);
}
