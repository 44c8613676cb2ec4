/** What the benchmark starts and looks at: child processes, their memory, and how busy the machine is. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadResult, LoadTask } from "./load.ts";

function startScript(name: string, argument: string): ChildProcess {
  const script = fileURLToPath(new URL(name, import.meta.url));
  return spawn(process.execPath, [script, argument], { stdio: ["ignore", "pipe", "inherit"] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) return line;
  throw new Error("Cannot go on: a process of the benchmark ended early");
}

/** A reference server in its own process. */
export async function startPassThrough(backendUrl: string): Promise<{ port: number; pid: number; stop(): void }> {
  const child = startScript("pass-through.ts", backendUrl);
  const { listening } = JSON.parse(await firstLine(child)) as { listening: number };
  return { port: listening, pid: child.pid!, stop: () => child.kill() };
}

/** Load from its own process, so that measuring does not slow what is measured beyond its share of the machine. */
export async function load(task: LoadTask): Promise<LoadResult & { busyShare: number }> {
  const before = cpuTicks();
  const result = JSON.parse(await firstLine(startScript("load.ts", JSON.stringify(task)))) as LoadResult;
  const after = cpuTicks();
  return { ...result, busyShare: 1 - (after.idle - before.idle) / (after.all - before.all) };
}

/** Since boot, over all processors (Linux: proc(5), /proc/stat). */
function cpuTicks(): { idle: number; all: number } {
  const ticks = readFileSync("/proc/stat", "utf8").split("\n")[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: ticks[3]! + ticks[4]!, all: ticks.reduce((sum, each) => sum + each, 0) };
}

/** Bytes of memory that a process has resident. */
export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}
