/** `npm run verify-receipt` as its own process, offline and without any package: it may read its own code and the files it is given. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./child-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const root = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

export interface Verdict {
  code: number | null;
  output: string;
}

export interface Given {
  receipt: unknown;
  keys: unknown;
  csv?: string | Buffer | undefined;
  row?: string | undefined;
}

/** Objects are written as JSON. */
export function verifyReceipt({ receipt, keys, csv, row }: Given): Promise<Verdict> {
  const folder = temporaryFolder();
  const write = (name: string, content: unknown) => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === "string" || Buffer.isBuffer(content) ? content : JSON.stringify(content));
    return path;
  };
  const parameters = ["--receipt", write("receipt.json", receipt), "--keys", write("keys.json", keys)];
  if (csv !== undefined) parameters.push("--csv", write("usage.csv", csv));
  if (row !== undefined) parameters.push("--row", row);
  return runVerify(parameters, [folder]);
}

export function runVerify(parameters: string[], folders: string[] = []): Promise<Verdict> {
  return runOffline("infra/receipts/verify.ts", parameters, folders);
}

/** A script of this repository that may read its own code and these folders, and nothing else: no package, no network. */
export async function runOffline(script: string, parameters: string[], folders: string[]): Promise<Verdict> {
  const readable = [`${root}/infra/*`, `${root}/shared/*`, `${root}/package.json`, ...folders.map((folder) => `${folder}/*`)];
  const flags = ["--permission", "--disable-warning=SecurityWarning", ...readable.map((path) => `--allow-fs-read=${path}`)];
  const { output, code } = launch([process.execPath, ...flags, join(root, script), ...parameters]);
  return { code: await code, output: output().trim() };
}
