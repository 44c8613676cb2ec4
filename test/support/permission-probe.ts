/**
 * Tries to leave something behind, in every way at hand, and to read what is not its own, and prints what came of
 * it: run with a function's permissions. Takes a folder, and a file that does not exist yet in shared memory.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import inspector from "node:inspector";
import process from "node:process";
import { setHeapSnapshotNearHeapLimit, writeHeapSnapshot } from "node:v8";
import { Worker } from "node:worker_threads";

const [folder, sharedMemory] = process.argv.slice(2);

const attempts: Record<string, () => unknown> = {
  "a file": () => writeFileSync(`${folder}/file`, "x"),
  "a line more in a file": () => appendFileSync(`${folder}/existing`, "x"),
  "a folder": () => mkdirSync(`${folder}/folder`),
  "a link": () => symlinkSync("/etc/passwd", `${folder}/link`),
  "a file in shared memory": () => writeFileSync(sharedMemory!, "x"),
  "a process": () => execFileSync("/bin/true"),
  "a diagnostic report": () => process.report.writeReport(`${folder}/report`),
  "a heap snapshot": () => writeHeapSnapshot(`${folder}/heap snapshot`),
  "a heap snapshot when memory ends": () => setHeapSnapshotNearHeapLimit(1),
  "a door for debuggers": () => inspector.open(0, "127.0.0.1"),
  "a worker's file": () => workerWrites(),
  "a look at the machine's users": () => readFileSync("/etc/passwd"),
};

/** Settles when the file is there; rejects when the worker, or starting it, fails. */
function workerWrites(): Promise<void> {
  const worker = new Worker(`require("node:fs").writeFileSync(${JSON.stringify(`${folder}/worker`)}, "x")`, { eval: true });
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () => resolve());
  });
}

const outcomes: Record<string, string> = {};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    outcomes[name] = "done";
  } catch (thrown) {
    const { code, name: kind } = thrown as NodeJS.ErrnoException;
    outcomes[name] = code ?? kind;
  }
}
process.stdout.write(JSON.stringify(outcomes));
