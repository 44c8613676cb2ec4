/** The thread that reads large bodies. It answers numbers and positions, and hands the bytes back. */
import { parentPort } from "node:worker_threads";
import { publicError } from "#shared/errors.ts";
import { inspect } from "./inspection.ts";
import type { InspectorReply, InspectorTask } from "./inspector.ts";

parentPort!.on("message", ({ id, endpoint, bytes, contentType }: InspectorTask) => {
  try {
    const inspection = inspect(endpoint, Buffer.from(bytes), contentType);
    parentPort!.postMessage({ id, bytes, inspection } satisfies InspectorReply, [bytes]);
  } catch (thrown) {
    const { kind, message, detail } = publicError(thrown);
    parentPort!.postMessage({ id, error: { kind, message, detail } } satisfies InspectorReply);
  }
});
