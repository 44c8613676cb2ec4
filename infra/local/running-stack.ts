/** The database of a local stack that runs, found by its data folder. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where a stack keeps its data when it was told nothing else. */
export const dataDirDefault = join(dirname(dirname(import.meta.dirname)), ".epithre");

/** As superuser. `task` is for the message, such as `replay`. */
export function databaseUrlOfStack(dataDir: string, task: string): string {
  try {
    const password = readFileSync(join(dataDir, "postgres-password"), "utf8").trim();
    const port = readFileSync(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8").split("\n")[3];
    return `postgres://postgres:${password}@127.0.0.1:${port}/epithre`;
  } catch {
    throw new Error(`Cannot ${task}: no stack runs on ${dataDir}; start it, or name a database with --database`);
  }
}
