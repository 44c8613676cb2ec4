import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { clearDataFolder, endLeftProcesses, explainFileError, openDataFolder, processFolder } from "#infra/local/data-folder.ts";
import { mountSecrets, openSecrets } from "#infra/local/secrets.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "epithre-data-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("openDataFolder() makes the folder, and others may not look into it", async () => {
  const opened = await openDataFolder(join(folder, "a/b"));
  expect(statSync(opened.path).mode & 0o777).toBe(0o711);
  await opened.release();
});

test("openDataFolder() names the stack that uses the folder already, by whatever path", async () => {
  const opened = await openDataFolder(folder);
  opened.announce("http://127.0.0.1:1234");
  symlinkSync(folder, join(folder, "link"));
  await expect(openDataFolder(join(folder, "link"))).rejects.toThrow(
    `another stack is running on it (process ${process.pid}, http://127.0.0.1:1234); stop that one`,
  );
  await opened.release();
  await (await openDataFolder(folder)).release();
});

test("openDataFolder() says in one sentence that a path is a file, or not ours", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  await expect(openDataFolder(file)).rejects.toThrow(`Cannot use ${file} for the stack's data: it is a file`);
  await expect(openDataFolder(join(file, "below"))).rejects.toThrow("a part of this path is a file");
  await expect(openDataFolder("/proc/epithre")).rejects.toThrow("Cannot make /proc/epithre: the system allows no folder there");
});

test("explainFileError() has a sentence for a full disk and for a missing right, and leaves other errors alone", () => {
  const full = Object.assign(new Error(), { code: "ENOSPC" });
  expect(explainFileError("/data", full)).toEqual(new Error("Cannot use /data for the stack's data: the disk is full; free 300 MB, or give --data a folder on another disk"));
  const denied = Object.assign(new Error(), { code: "EACCES" });
  expect(explainFileError("/data", denied)).toMatchObject({ message: expect.stringContaining("permission denied; give --data a folder that you own") });
  const other = new Error("Cannot start: something");
  expect(explainFileError("/data", other)).toBe(other);
});

test("clearDataFolder() leaves files that are not the stack's", async () => {
  for (const name of ["secrets", "mail", "processes", "photos"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "development-account.json"), "{}");
  await clearDataFolder(folder);
  expect(readdirSync(folder)).toEqual(["photos"]);
});

test("endLeftProcesses() ends what works in the stack's folders and runs a function, and nothing else", async () => {
  const work = processFolder(folder, "proxy");
  mkdirSync(work, { recursive: true });
  writeFileSync(join(folder, "main.ts"), "setInterval(() => {}, 1000);");
  const left = spawn(process.execPath, [join(folder, "main.ts")], { cwd: work });
  const shell = spawn("/bin/sh", ["-c", "read -r _"], { cwd: work });
  const elsewhere = spawn(process.execPath, [join(folder, "main.ts")], { cwd: folder });
  await Promise.all([left, shell, elsewhere].map((child) => once(child, "spawn")));
  const ended = once(left, "exit");
  await endLeftProcesses(folder);
  await ended;
  expect([shell.exitCode, shell.signalCode, elsewhere.exitCode, elsewhere.signalCode]).toEqual([null, null, null, null]);
  shell.kill();
  elsewhere.kill();
});

test("openSecrets() makes a secret once; only its owner can read it", async () => {
  const value = await (await openSecrets(folder)).value("operator-token");
  expect(value).toMatch(/^[\w-]{43}$/);
  expect(await (await openSecrets(folder)).value("operator-token")).toBe(value);
  expect(await (await openSecrets(folder)).value("cache-salt")).not.toBe(value);
  expect(statSync(join(folder, "secrets")).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, "secrets/operator-token")).mode & 0o777).toBe(0o600);
});

test("openSecrets() makes one secret for two that ask at the same time", async () => {
  const secrets = await openSecrets(folder);
  const [one, other] = await Promise.all([secrets.value("edge-proxy-billing"), secrets.value("edge-proxy-billing")]);
  expect(one).toBe(other);
});

test("mountSecrets() gives a function the secrets that it lists, and takes former ones away", async () => {
  const mount = join(folder, "mount");
  await mountSecrets(mount, { old: "1" });
  await mountSecrets(mount, { "cache-salt": "salt" });
  expect(existsSync(join(mount, "old"))).toBe(false);
  expect(readFileSync(join(mount, "cache-salt"), "utf8")).toBe("salt");
});
