import { expect, test } from "vitest";
import { dial } from "../support/raw-connection.ts";
import { createSource, startRuntime } from "../support/runtime.ts";
import { waitFor } from "../support/wait.ts";

const echo = async (request: Request) => new Response(await request.text());
const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const post = (headers: string, body = "") => `POST / HTTP/1.1\r\nhost: a\r\n${headers}\r\n\r\n${body}`;

const tooLarge = {
  error: { message: "Cannot take this body: the limit is 1000 bytes", type: "invalid_request_error", param: null, code: "request_too_large" },
};

function bodyOf(answer: string): unknown {
  return JSON.parse(/\{.*\}/.exec(answer)![0]);
}

test("a body of exactly the limit is taken, announced or not", async () => {
  const { url } = await startRuntime({ handler: echo });
  const body = "x".repeat(1_000);
  expect(await (await fetch(url, { method: "POST", body })).text()).toBe(body);
  const chunked = new Response(body).body;
  expect(await (await fetch(url, { method: "POST", body: chunked, duplex: "half" } as RequestInit)).text()).toBe(body);
});

test("a body that announces more than the limit is refused before it is read or the handler called", async () => {
  let called = false;
  const { port } = await startRuntime({
    async handler(request) {
      called = true;
      return echo(request);
    },
  });
  const connection = await dial(port);
  connection.send(post("content-length: 1001"));
  const answer = await connection.until("request_too_large");
  const whole = JSON.stringify(tooLarge);
  // Whole before the caller has sent anything: it need not.
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 413 [^]*content-length: ${whole.length}\r\n[^]*connection: close`, "i"));
  expect(answer.split("\r\n\r\n")[1]).toBe(whole);
  expect(called).toBe(false);
});

test("a body that announces more than the limit is not asked for, one that fits is", async () => {
  const { port } = await startRuntime({ handler: echo });
  const large = await dial(port);
  large.send(post("content-length: 1001\r\nexpect: 100-continue"));
  expect(await large.until("request_too_large")).toMatch(/^HTTP\/1\.1 413 /);
  const small = await dial(port);
  small.send(post("content-length: 5\r\nexpect: 100-continue"));
  await small.until("HTTP/1.1 100 Continue\r\n\r\n");
  small.send("hallo");
  await small.until("hallo");
});

test.each([
  ["fails with it", echo],
  ["hides the failure", async (request: Request) => new Response(await request.text().catch(() => "hidden"))],
])("a body that grows beyond the limit is refused, also when the handler %s", async (_, handler) => {
  const { port, lines } = await startRuntime({ handler });
  const connection = await dial(port);
  connection.send(post("transfer-encoding: chunked", `3e8\r\n${"x".repeat(1_000)}\r\n1\r\nx\r\n0\r\n\r\n`));
  const answer = await connection.until("request_too_large");
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  expect(bodyOf(answer)).toEqual(tooLarge);
  expect(lines.map((line) => line.at)).toEqual(["started"]);
});

test("a head beyond the limit is refused with 431", async () => {
  const { port } = await startRuntime({ headerBytesMax: 1_000, handler: echo });
  const connection = await dial(port);
  connection.send(post(`x-large: ${"x".repeat(1_000)}`));
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 431 /);
});

test("a head that does not end in time is refused with 408", async () => {
  const { port } = await startRuntime({ headersTimeoutMs: 100, handler: echo });
  const connection = await dial(port);
  connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 408 /);
});

test("a body that does not end in time is refused with 408", async () => {
  const { port } = await startRuntime({ headersTimeoutMs: 100, requestTimeoutMs: 200, handler: echo });
  const connection = await dial(port);
  connection.send(post("content-length: 10", "slow"));
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 408 /);
});

test("a connection that idles between requests is closed, as its answers said", async () => {
  const { port } = await startRuntime({ keepAliveTimeoutMs: 1_000, handler: echo });
  const connection = await dial(port);
  connection.send(get);
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 200 [^]*keep-alive: timeout=1\r\n/i);
});

test("a connection beyond the maximum is closed, and one of those before it still serves", async () => {
  const { port } = await startRuntime({ connectionsMax: 1, handler: async () => new Response("served") });
  const first = await dial(port);
  first.send(get);
  await first.until("served");
  const second = await dial(port);
  second.send(get);
  expect(await second.untilClosed()).toBe("");
  first.send(get);
  await waitFor("a second answer", () => first.received().split("served").length === 3);
});

test("a caller that takes nothing of an answer for too long is cut off, and the answer's source cancelled", async () => {
  const source = createSource();
  const { port } = await startRuntime({ stallTimeoutMs: 50, handler: async () => new Response(source.stream) });
  const connection = await dial(port);
  connection.socket.pause();
  connection.send(get);
  // More than the kernel holds for a connection whose other end does not read.
  source.give("x".repeat(32 * 1024 * 1024));
  await waitFor("the cut", () => source.cancelled);
});

test.each([
  ["a length and chunks at once", post("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n")],
  ["two lengths", post("content-length: 5\r\ncontent-length: 6", "hallo!")],
  ["a length that is no number", post("content-length: +5", "hallo")],
  ["a transfer coding that is not chunked last", post("transfer-encoding: chunked, gzip", "0\r\n\r\n")],
  ["a chunk's length that is none", post("transfer-encoding: chunked", "zz\r\nhallo\r\n0\r\n\r\n")],
  ["a bare line feed in the head", "GET / HTTP/1.1\nhost: a\r\n\r\n"],
  ["a bare carriage return in a header", post("x-two: one\rtwo: three")],
  ["a space before a header's colon", post("host : b")],
  ["a folded header", post("x-two: one\r\n two")],
  ["a header without a name", post(": nothing")],
  ["a null byte in a header", post("x-two: a\0b")],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["a method that HTTP does not have", "GETT / HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["a target with a space", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["a protocol that is not HTTP", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"],
])("a request with %s is refused with 400 and its connection closed", async (_, text) => {
  let whole = false;
  const { port } = await startRuntime({
    async handler(request) {
      await request.text();
      whole = true;
      return new Response();
    },
  });
  const connection = await dial(port);
  connection.send(text);
  expect(await connection.untilClosed()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/i);
  expect(whole).toBe(false);
});
