/** A function as small as can be, for tests of what the runtime does with a process. */
import process from "node:process";
import { run, serve } from "openfaas-node";
import { createLog } from "#shared/log.ts";

const canary = "canary-of-a-fault";
const encoder = new TextEncoder();

/** A body of ten parts, one every 50 ms. */
function slowBody(): ReadableStream<Uint8Array> {
  let part = 0;
  return new ReadableStream({
    async pull(controller) {
      if (part > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      controller.enqueue(encoder.encode(`part ${part}\n`));
      part += 1;
      if (part === 10) controller.close();
    },
  });
}

async function answer(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/throw-later") setTimeout(() => { throw new Error(canary); });
  if (pathname === "/reject-later") void Promise.reject(new Error(canary));
  if (pathname === "/throw") throw new Error(canary);
  if (pathname === "/slow") return new Response(slowBody());
  return new Response(await request.text());
}

run(async () => {
  if (process.env.start_problem) throw new Error(process.env.start_problem);
  return serve({
    name: "test",
    port: 0,
    hostname: "127.0.0.1",
    log: createLog("test"),
    bodyBytesMax: 1_000,
    handler: answer,
  });
});
