/** What a process could leave of its memory when it dies, or give to whoever may signal it: nothing (content.none). */
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { launch, type Launched } from "../support/child-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { waitFor } from "../support/wait.ts";

const runtime = (file: string) => fileURLToPath(new URL(`../../shared/openfaas-node/${file}`, import.meta.url));
const options = `--experimental-config-file=${runtime("node.config.json")}`;
const rest = 'console.log("up"); setInterval(() => {}, 1000)';

/** Whoever starts it would let it leave core files, as far as they may. */
const carelessly = ["/bin/sh", "-c", 'ulimit -c "$(ulimit -Hc)"; exec "$@"', "sh"];

async function isUp(program: Launched): Promise<Launched> {
  await waitFor("the program to run", () => program.output().includes("up"));
  return program;
}

test.each(["SIGSEGV", "SIGABRT", "SIGQUIT"] as const)("start.sh leaves no core file of what dies by %s, nor memory to a program that takes cores", async (signal) => {
  const folder = temporaryFolder();
  const { child, code } = await isUp(launch([...carelessly, "/bin/sh", runtime("start.sh"), process.execPath, "--eval", rest], {}, folder));
  const state = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, "utf8");
  expect(state("limits")).toMatch(/^Max core file size +0 +0 /m);
  expect(Number(state("coredump_filter"))).toBe(0);
  child.kill(signal);
  await code;
  expect(child.signalCode).toBe(signal);
  expect(readdirSync(folder)).toEqual([]);
});

/** Whether a handler waits for SIGUSR1: Node's own, which opens a door to debuggers (proc(5), SigCgt). */
function opensDoor(pid: number): boolean {
  const caught = BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]}`);
  return (caught & (1n << BigInt(constants.signals.SIGUSR1 - 1))) !== 0n;
}

test("with the runtime's options SIGUSR1 opens no door to debuggers", async () => {
  const plain = await isUp(launch([process.execPath, "--eval", rest]));
  expect(opensDoor(plain.child.pid!)).toBe(true);
  const hardened = await isUp(launch([process.execPath, options, "--eval", rest]));
  expect(opensDoor(hardened.child.pid!)).toBe(false);
});

test("a diagnostic report names no environment, is asked for by nothing, and no signal writes a heap snapshot", async () => {
  const script = `
    const { reportOnFatalError, reportOnSignal, reportOnUncaughtException } = process.report;
    const names = Object.keys(process.report.getReport().environmentVariables ?? {});
    console.log(JSON.stringify({ names, reportOnFatalError, reportOnSignal, reportOnUncaughtException, listeners: process.listenerCount("SIGUSR2") }))`;
  const { output, code } = launch([process.execPath, options, "--eval", script], { LOGIN: "secret" });
  expect(await code).toBe(0);
  expect(JSON.parse(output())).toEqual({ names: [], reportOnFatalError: false, reportOnSignal: false, reportOnUncaughtException: false, listeners: 0 });
});
