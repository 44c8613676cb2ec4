import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { dial } from "../support/raw-connection.ts";
import { createSource, startRuntime } from "../support/runtime.ts";
import { waitFor } from "../support/wait.ts";

const get = (path = "/") => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;

/** Answers `/stream` from a source that the test feeds, anything else at once. */
async function startStreaming(given: Partial<Parameters<typeof startRuntime>[0]> = {}) {
  const source = createSource();
  const runtime = await startRuntime({
    handler: async (request: Request) => new Response(request.url.endsWith("/stream") ? source.stream : "at once"),
    drainTimeoutMs: 20_000,
    ...given,
  } as Parameters<typeof startRuntime>[0]);
  return { source, runtime };
}

async function openStream(port: number, source: ReturnType<typeof createSource>) {
  const stream = await dial(port);
  stream.send(get("/stream"));
  source.give("begun");
  await stream.until("begun");
  return stream;
}

test("stop() lets an open stream finish whole, and only then ends", async () => {
  const order: string[] = [];
  const { source, runtime } = await startStreaming({
    onDrain: () => void order.push("drain"),
    async onStop() {
      order.push("stop");
    },
  });
  const stream = await openStream(runtime.port, source);
  const stopped = runtime.stop().then(() => order.push("stopped"));
  expect(runtime.draining).toBe(true);
  expect(order).toEqual(["drain"]);
  source.give("still running");
  await stream.until("still running");
  expect(order).toEqual(["drain"]);
  source.give("ended");
  source.end();
  await stopped;
  expect(await stream.untilClosed()).toMatch(/ended\r\n0\r\n\r\n$/);
  expect(order).toEqual(["drain", "stop", "stopped"]);
  expect(runtime.lines.slice(1)).toEqual([{ at: "draining" }, { at: "stopped", openRequests: 0 }]);
  await expect(fetch(runtime.url)).rejects.toThrow();
});

test("while draining, readiness is 503 and health 200", async () => {
  const { source, runtime } = await startStreaming();
  await openStream(runtime.port, source);
  void runtime.stop();
  expect((await fetch(`${runtime.url}/_/ready`)).status).toBe(503);
  expect((await fetch(`${runtime.url}/_/health`)).status).toBe(200);
  source.end();
});

test("draining closes idle connections at once, and others with their answer", async () => {
  let answer = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const { runtime } = await startStreaming({
    async handler(request: Request) {
      if (request.url.endsWith("/waiting")) await answered;
      return new Response("answered");
    },
  });
  const idle = await dial(runtime.port);
  idle.send(get());
  await idle.until("answered");
  const busy = await dial(runtime.port);
  busy.send(get("/waiting"));
  // A second request shows that the first one has arrived.
  await fetch(runtime.url);
  const stopped = runtime.stop();
  await idle.untilClosed();
  expect(busy.closed()).toBe(false);
  answer();
  expect(await busy.untilClosed()).toMatch(/connection: close\r\n[^]*answered\r\n0\r\n\r\n$/i);
  await stopped;
});

test("a request that was on its way when draining began is served, and its connection closed", async () => {
  const { source, runtime } = await startStreaming();
  await openStream(runtime.port, source);
  void runtime.stop();
  const late = await dial(runtime.port);
  late.send(get());
  expect(await late.untilClosed()).toMatch(/^HTTP\/1\.1 200 [^]*connection: close\r\n[^]*at once/i);
  source.end();
});

test("a request long after draining began is refused with 503 and retry-after", async () => {
  const { source, runtime } = await startStreaming({ lateRequestsMs: -1 });
  await openStream(runtime.port, source);
  void runtime.stop();
  const late = await dial(runtime.port);
  late.send(get());
  const answer = await late.untilClosed();
  expect(answer).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: 1\r\n/);
  expect(answer).toContain('"code":"service_unavailable"');
  source.end();
});

test("stop() cuts what is still open after its time", async () => {
  const { source, runtime } = await startStreaming({ drainTimeoutMs: 50 });
  const stream = await openStream(runtime.port, source);
  await runtime.stop();
  expect(await stream.untilClosed()).toMatch(/begun\r\n$/);
  expect(runtime.lines.at(-1)).toEqual({ at: "stopped", openRequests: 1 });
  await waitFor("the source's end", () => source.cancelled);
});

test("stop() does not wait for ever for what does not close", async () => {
  const { runtime } = await startStreaming({ stopTimeoutMs: 50, onStop: () => new Promise(() => {}) });
  await runtime.stop();
  expect(runtime.lines.at(-1)).toEqual({ at: "stopped", openRequests: 0 });
});

test("stop() called twice stops once", async () => {
  let stops = 0;
  const { runtime } = await startStreaming({ onStop: async () => void (stops += 1) });
  await Promise.all([runtime.stop(), runtime.stop()]);
  await runtime.stop();
  expect(stops).toBe(1);
});

test("stop() waits for raw requests too", async () => {
  let waiting: ServerResponse | undefined;
  const runtime = await startRuntime({ nodeHandler: (_, response) => void (waiting = response), drainTimeoutMs: 20_000 });
  const raw = await dial(runtime.port);
  raw.send(get());
  await waitFor("the request", () => waiting);
  const stopped = runtime.stop();
  waiting!.end("answered");
  expect(await raw.untilClosed()).toMatch(/connection: close\r\n[^]*answered$/i);
  await stopped;
});
