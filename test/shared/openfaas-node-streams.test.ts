import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { dial } from "../support/raw-connection.ts";
import { createSource, startRuntime } from "../support/runtime.ts";
import { waitFor } from "../support/wait.ts";

/** Bytes. Many times what the kernel holds for a connection whose other end does not read. */
const manyBytes = 96 * 1024 * 1024;
const chunk = Buffer.alloc(64 * 1024, "x");

/** Milliseconds in which a number that does not grow counts as standing still. */
const stillMs = 200;

async function standsStill(number: () => number): Promise<number> {
  let last = Number.NaN;
  await waitFor("a number that no longer grows", async () => {
    const before = number();
    await delay(stillMs);
    last = number();
    return last === before;
  });
  return last;
}

const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

test("an answer's first part arrives before its second is made", async () => {
  const source = createSource();
  const { port } = await startRuntime({ handler: async () => new Response(source.stream) });
  const connection = await dial(port);
  connection.send(get);
  source.give("first");
  expect(await connection.until("first")).not.toContain("second");
  source.give("second");
  await connection.until("second");
  source.end();
  await connection.until("\r\n0\r\n\r\n");
});

test("the head arrives before an answer's first part is made", async () => {
  const source = createSource();
  const { port } = await startRuntime({ handler: async () => new Response(source.stream, { headers: { "x-early": "yes" } }) });
  const connection = await dial(port);
  connection.send(get);
  await connection.until("x-early: yes\r\n");
  source.end();
});

test("a body's first part reaches the handler before its second is sent, and the answer may begin between them", async () => {
  const { port } = await startRuntime({ handler: async (request) => new Response(request.body) });
  const connection = await dial(port);
  connection.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  await connection.until("first");
  connection.send("6\r\nsecond\r\n0\r\n\r\n");
  await connection.until("second\r\n0\r\n\r\n");
});

test("an answer's source is asked for no more than the caller takes", async () => {
  let made = 0;
  const stream = new ReadableStream({
    pull(controller) {
      controller.enqueue(chunk);
      made += chunk.length;
      if (made >= manyBytes) controller.close();
    },
  });
  const { port } = await startRuntime({ handler: async () => new Response(stream) });
  const connection = await dial(port);
  connection.socket.pause();
  connection.send(get);
  await waitFor("the first part", () => made);
  expect(await standsStill(() => made)).toBeLessThan(manyBytes / 2);
  connection.socket.removeAllListeners("data");
  let taken = 0;
  connection.socket.on("data", (text: string) => (taken += text.length));
  connection.socket.resume();
  await waitFor("the whole answer", () => taken > manyBytes);
});

test("a caller is taken no more of a body than the handler reads", async () => {
  let read = () => {};
  const mayRead = new Promise<void>((resolve) => (read = resolve));
  const { url } = await startRuntime({
    bodyBytesMax: manyBytes,
    async handler(request) {
      let bytes = 0;
      for await (const part of request.body!) {
        bytes += part.length;
        await mayRead;
      }
      return new Response(String(bytes));
    },
  });
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(chunk);
      sent += chunk.length;
      if (sent >= manyBytes) controller.close();
    },
  });
  const answer = fetch(url, { method: "POST", body, duplex: "half" } as RequestInit);
  await waitFor("the first part", () => sent);
  expect(await standsStill(() => sent)).toBeLessThan(manyBytes / 2);
  read();
  expect(await (await answer).text()).toBe(String(manyBytes));
});

test("a caller that leaves an answer aborts the request's signal and cancels the answer's source", async () => {
  const source = createSource();
  let signal: AbortSignal | undefined;
  const { port, lines } = await startRuntime({
    async handler(request) {
      signal = request.signal;
      return new Response(source.stream);
    },
  });
  const connection = await dial(port);
  connection.send(get);
  source.give("first");
  await connection.until("first");
  expect(signal!.aborted).toBe(false);
  connection.socket.destroy();
  await waitFor("the abort", () => signal!.aborted && source.cancelled);
  expect(lines.map((line) => line.at)).toEqual(["started"]);
});

test("an answer's source that breaks off because its caller left is no fault of ours", async () => {
  let broken = false;
  const { port, lines } = await startRuntime({
    async handler({ signal }) {
      const stream = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from("first"));
          signal.addEventListener("abort", () => {
            controller.error(signal.reason);
            broken = true;
          });
        },
      });
      return new Response(stream);
    },
  });
  const connection = await dial(port);
  connection.send(get);
  await connection.until("first");
  connection.socket.destroy();
  await waitFor("the break", () => broken);
  expect(lines.map((line) => line.at)).toEqual(["started"]);
});

test("a caller that leaves before the answer aborts the signal, and what then fails is no fault of ours", async () => {
  let left = false;
  const { port, lines } = await startRuntime({
    async handler(request) {
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      left = true;
      request.signal.throwIfAborted();
      return new Response();
    },
  });
  const connection = await dial(port);
  connection.send(get);
  connection.socket.end();
  connection.socket.destroy();
  await waitFor("the abort", () => left);
  expect(lines.map((line) => line.at)).toEqual(["started"]);
});

test("a caller that leaves in the middle of a body makes reading it fail", async () => {
  let problem: unknown;
  const { port, lines } = await startRuntime({
    async handler(request) {
      await request.text().catch((thrown: unknown) => (problem = thrown));
      return new Response();
    },
  });
  const connection = await dial(port);
  connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
  connection.socket.end();
  await waitFor("the failure", () => problem);
  expect(String(problem)).toBe("Error: Cannot read body: the caller left before its end");
  expect(lines.map((line) => line.at)).toEqual(["started"]);
});

test("a whole answer that was taken does not abort the signal", async () => {
  let signal: AbortSignal | undefined;
  const { url } = await startRuntime({
    async handler(request) {
      signal = request.signal;
      return new Response(await request.text());
    },
  });
  expect(await (await fetch(url, { method: "POST", body: "x" })).text()).toBe("x");
  await (await fetch(`${url}/_/health`)).text();
  expect(signal!.aborted).toBe(false);
});

test("a caller that sends a large body that nobody reads still gets its answer", async () => {
  const { port } = await startRuntime({ bodyBytesMax: manyBytes, handler: async () => new Response("answered") });
  const connection = await dial(port);
  connection.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${8 * 1024 * 1024}\r\n\r\n`);
  for (let sent = 0; sent < 8 * 1024 * 1024; sent += chunk.length) connection.socket.write(chunk);
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 200 [^]*connection: close[^]*answered\r\n0\r\n\r\n$/);
});
