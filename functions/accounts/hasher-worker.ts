/** The thread that hashes passwords: a tenth of a second each, in which nothing else could run beside it. */
import { parentPort } from "node:worker_threads";
import type { HashReply, HashTask } from "./hasher.ts";

/**
 * argon2-browser takes Node for a place where its WebAssembly lies in a file, which a bundle has not: behind a `self` in
 * which there is no process it uses the copy inside its own script. It also installs handlers for the process's
 * uncaught errors, which here are those of this thread only.
 */
const self = Object.create(globalThis, { process: { value: undefined }, Module: { value: undefined, writable: true } });
Object.defineProperty(globalThis, "self", { value: self, configurable: true });
Object.defineProperty(globalThis, "Module", { get: () => self.Module });

const { default: argon2 } = await import("argon2-browser/dist/argon2-bundled.min.js");

parentPort!.on("message", async ({ password, salt, parameters, hashBytes }: HashTask) => {
  const { hash } = await argon2.hash({
    pass: password,
    salt,
    time: parameters.passes,
    mem: parameters.memoryKib,
    parallelism: parameters.lanes,
    hashLen: hashBytes,
    type: argon2.ArgonType.Argon2id,
  });
  parentPort!.postMessage({ hash } satisfies HashReply);
});
