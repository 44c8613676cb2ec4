/** What the commands that verify offline have in common: files, words, and how they end. */
import { readFileSync } from "node:fs";
import { ReceiptRefused } from "#shared/receipts.ts";

/** Says what `work` found valid. Answers 0; 1 when something is not valid; 2 when it could not be looked at. */
export async function verifying(work: () => Promise<string>): Promise<0 | 1 | 2> {
  try {
    console.log(`Valid: ${await work()}`);
    return 0;
  } catch (thrown) {
    if (thrown instanceof ReceiptRefused) {
      console.log(`NOT valid: ${thrown.message}`);
      return 1;
    }
    console.error((thrown as Error).message);
    return 2;
  }
}

export function jsonIn(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (thrown) {
    throw unreadable(path, thrown, "it is not JSON");
  }
}

/** `reason` is for what is wrong with the content; of a fault of the file system its code is told. */
export function unreadable(path: string, thrown: unknown, reason: string): Error {
  const { code } = thrown as NodeJS.ErrnoException;
  return new Error(`Cannot read ${path}: ${code === "ENOENT" ? "there is no such file" : (code ?? reason)}`);
}
