import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ProcessDefinition, supervise, type SupervisedProcess } from "#infra/local/supervisor.ts";
import { waitFor } from "../support/wait.ts";

let folder: string;
const running: SupervisedProcess[] = [];
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "epithre-supervisor-"))));
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function define(script: string, more: Partial<ProcessDefinition> = {}): ProcessDefinition {
  return {
    name: "example",
    command: [process.execPath, "--eval", script],
    folder,
    environment: {},
    isReady: async () => false,
    ...more,
  };
}

function start(definition: ProcessDefinition): SupervisedProcess {
  const started = supervise(definition);
  running.push(started);
  return started;
}

const lines = (one: SupervisedProcess) => one.log.entries().map((entry) => entry.text);

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Runs until it is told to end, and says so. */
const obedient = 'process.on("SIGTERM", () => { console.log("ended in order"); process.exit() }); setInterval(() => {}, 1000); console.log("up")';

test("supervise() gives a process exactly its environment, and keeps what it prints in memory", async () => {
  const one = start(define('console.log(JSON.stringify(process.env)); console.error("to stderr")', { environment: { PORT: "1" } }));
  await waitFor("both lines", () => lines(one).length >= 2);
  // PWD is the shell's own; it names the folder that the process works in.
  expect(lines(one)).toContainEqual(JSON.stringify({ PORT: "1", PWD: folder }));
  expect(lines(one)).toContain("to stderr");
});

test("supervise() allows no core file, which would hold memory (content.none)", async () => {
  const one = start(define('console.log(require("node:fs").readFileSync("/proc/self/limits", "utf8").match(/core file size +(\\d+) +(\\d+)/i).slice(1).join())'));
  await waitFor("the limit", () => lines(one).includes("0,0"));
});

test("supervise() starts a process again that ended, with growing pauses", async () => {
  const one = start(define('console.log("up")'));
  await waitFor("four starts", () => lines(one).length >= 4);
  const times = one.log.entries().map((entry) => entry.timeMs);
  const pauses = times.slice(1).map((time, at) => time - times[at]!);
  expect(pauses[0]).toBeGreaterThanOrEqual(100);
  expect(pauses[2]).toBeGreaterThanOrEqual(400);
});

test("supervise() tells the process again after kill -9, ready once it answers", async () => {
  let answers = true;
  const one = start(define(obedient, { isReady: async () => answers }));
  await one.firstReady();
  const before = one.pid!;
  answers = false;
  process.kill(before, "SIGKILL");
  const after = await waitFor("a new process", () => (one.pid !== before ? one.pid : undefined));
  expect(isAlive(after!)).toBe(true);
  expect(one.isReady).toBe(false);
  answers = true;
  await waitFor("readiness", () => one.isReady);
});

test.each([
  ['console.error("Cannot start: setting port is wrong"); process.exit(1)', "Cannot start: setting port is wrong"],
  ['throw new TypeError("no such thing")', "TypeError: no such thing"],
  ["process.exit(1)", "it said nothing"],
])("supervise() says in one sentence why %j did not become ready", async (script, reason) => {
  const one = start(define(script));
  await expect(one.firstReady()).rejects.toThrow(`Cannot start example: it ended; ${reason}`);
});

test("stop() ends a process in order and for good", async () => {
  const one = start(define(obedient));
  await waitFor("its start", () => lines(one).includes("up"));
  const pid = one.pid!;
  await one.stop();
  expect(lines(one)).toContain("ended in order");
  expect(isAlive(pid)).toBe(false);
});

test("supervise() leaves no process behind when its own is killed", async () => {
  const script = join(folder, "parent.mjs");
  const module = new URL("../../infra/local/supervisor.ts", import.meta.url).href;
  const definition = { ...define(obedient), isReady: undefined };
  writeFileSync(
    script,
    `import { supervise } from ${JSON.stringify(module)};
     const one = supervise({ ...${JSON.stringify(definition)}, isReady: async () => false });
     setInterval(() => one.log.entries().length > 0 && console.log(one.pid), 10);`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const [printed] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(String(printed).split("\n")[0]);
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await waitFor("the end of the process", () => !isAlive(pid));
});
