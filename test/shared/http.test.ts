import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { EpithreError } from "#shared/errors.ts";
import {
  createInternalClient,
  createInternalHandler,
  createVerifier,
  route,
  sign,
  signatureHeader,
  type InternalHandler,
} from "#shared/http.ts";
import { dial } from "../support/raw-connection.ts";
import { startRuntime } from "../support/runtime.ts";
import { waitFor } from "../support/wait.ts";

const edgeSecret = "the secret of the edge from proxy to billing";
const body = Buffer.from('{"name":"x"}');
const path = "/greet";
const call = { from: "proxy", to: "billing", path, body } as const;

const Greeting = z.strictObject({ name: z.string() });
const Greeted = z.strictObject({ hello: z.string(), from: z.string() });

function createGreeter(answer = async (name: string): Promise<unknown> => name): InternalHandler {
  return createInternalHandler("billing", { proxy: edgeSecret }, {
    [path]: route({ input: Greeting, answer: async ({ name }, from) => ({ hello: await answer(name), from }) }),
  });
}

/** Both ways in which the same handler is served. */
const served = {
  "as a web handler": (handler: InternalHandler) => startRuntime({ handler }),
  "by raw node:http": (handler: InternalHandler) => startRuntime({ nodeHandler: handler.node }),
};

function clientOf(url: string, secret = edgeSecret) {
  const client = createInternalClient({ from: "proxy", to: "billing", url, edgeSecret: secret });
  onTestFinished(() => client.close());
  return client;
}

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

afterEach(() => {
  vi.useRealTimers();
});

describe("createVerifier()", () => {
  const verifier = () => createVerifier("billing", { proxy: edgeSecret });
  const refused = expect.objectContaining({ kind: "invalid_signature", message: "Cannot accept internal call: signature missing or wrong" });

  test("says who signed", () => {
    expect(verifier()(sign(edgeSecret, call), path, body)).toBe("proxy");
  });

  test.each<[string, Parameters<ReturnType<typeof verifier>>]>([
    ["another secret", [sign("another secret", call), path, body]],
    ["another path", [sign(edgeSecret, call), "/other", body]],
    ["another body", [sign(edgeSecret, call), path, Buffer.from('{"name":"y"}')]],
    ["another callee", [sign(edgeSecret, { ...call, to: "key-auth" }), path, body]],
    ["a caller without an edge", [sign(edgeSecret, { ...call, from: "export" }), path, body]],
    ["a caller that is no function", [sign(edgeSecret, { ...call, from: "__proto__" as "proxy" }), path, body]],
    ["another caller's name", [sign(edgeSecret, call).replace("proxy", "export"), path, body]],
    ["no signature", [null, path, body]],
    ["an empty signature", ["", path, body]],
    ["half a signature", [sign(edgeSecret, call).slice(0, -20), path, body]],
    ["more than a signature", [`${sign(edgeSecret, call)} more`, path, body]],
    ["another version", [sign(edgeSecret, call).replace("v1", "v2"), path, body]],
    ["another nonce", [sign(edgeSecret, call).replace(/ \S+ (\S+)$/, " another $1"), path, body]],
    ["another time", [sign(edgeSecret, call).replace(/ \d+ /, ` ${Date.now() + 1_000} `), path, body]],
    ["a time that is none", [sign(edgeSecret, call).replace(/ \d+ /, " never "), path, body]],
  ])("refuses %s", (_, given) => {
    expect(() => verifier()(...given)).toThrow(refused);
  });

  test("refuses a call made again", () => {
    const verify = verifier();
    const signature = sign(edgeSecret, call);
    verify(signature, path, body);
    expect(() => verify(signature, path, body)).toThrow(refused);
    expect(verify(sign(edgeSecret, call), path, body)).toBe("proxy");
  });

  test.each([
    ["old", 30_000],
    ["early", -30_000],
  ])("takes a call that is 30 s %s, and none a millisecond beyond", (_, ageMs) => {
    const nowMs = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs - ageMs });
    const [first, second] = [sign(edgeSecret, call), sign(edgeSecret, call)];
    vi.setSystemTime(nowMs);
    expect(verifier()(first, path, body)).toBe("proxy");
    vi.setSystemTime(nowMs + Math.sign(ageMs));
    expect(() => verifier()(second, path, body)).toThrow(refused);
  });

  test("remembers a call for as long as its signature is taken", () => {
    const nowMs = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs + 30_000 });
    const signature = sign(edgeSecret, call);
    const verify = verifier();
    vi.setSystemTime(nowMs);
    verify(signature, path, body);
    for (const laterMs of [1, 30_000, 59_999, 60_000]) {
      vi.setSystemTime(nowMs + laterMs);
      expect(() => verify(signature, path, body), `${laterMs} ms later`).toThrow(refused);
      verify(sign(edgeSecret, call), path, body);
    }
  });
});

describe.each(Object.entries(served))("createInternalHandler() %s", (_, serveIt) => {
  test("answers a client that has the edge's secret", async () => {
    const { url } = await serveIt(createGreeter());
    expect(await clientOf(url).post(path, { name: "Ani" }, Greeted, 5_000)).toEqual({ hello: "Ani", from: "proxy" });
  });

  async function answerTo(url: string, to: string, init: RequestInit & { body?: string }, signed = init.body ?? "") {
    const signature = sign(edgeSecret, { ...call, path: to, body: signed });
    const response = await fetch(`${url}${to}`, { ...init, headers: { [signatureHeader]: signature } });
    const { error } = (await response.json()) as { error: { code: string | null } };
    return [response.status, error.code];
  }

  test("refuses what it does not know, each with its code", async () => {
    let asked = 0;
    const { url } = await serveIt(createGreeter(async () => (asked += 1)));
    const post = { method: "POST", body: '{"name":"x"}' };
    expect(await answerTo(url, "/other", post)).toEqual([404, "unknown_url"]);
    expect(await answerTo(url, "/constructor", post)).toEqual([404, "unknown_url"]);
    expect(await answerTo(url, path, { method: "GET" })).toEqual([405, "method_not_allowed"]);
    expect(await answerTo(url, path, post, "another body")).toEqual([401, "invalid_signature"]);
    expect(await answerTo(url, path, { ...post, body: '{"name":' })).toEqual([400, "invalid_json"]);
    expect(await answerTo(url, path, { ...post, body: '{"name":1}' })).toEqual([400, null]);
    expect(asked).toBe(0);
  });

  test("refuses a field that the contract does not name (content.none)", async () => {
    const { url } = await serveIt(createGreeter());
    expect(await answerTo(url, path, { method: "POST", body: '{"name":"x","prompt":"canary"}' })).toEqual([400, null]);
  });

  test("answers known errors as they are, and says nothing of others (content.none)", async () => {
    const faults = [new EpithreError("conflict", "Cannot do this twice: done"), new Error("canary")];
    const { url, lines } = await serveIt(
      createGreeter(async () => {
        throw faults.shift();
      }),
    );
    const post = { method: "POST", body: '{"name":"x"}' };
    expect(await answerTo(url, path, post)).toEqual([409, "conflict"]);
    expect(await answerTo(url, path, post)).toEqual([500, "internal_error"]);
    await waitFor("the line of the fault", () => lines.length > 1);
    expect(JSON.stringify(lines)).not.toContain("canary");
  });

  test("refuses a body that is too large for a batch", async () => {
    const { url } = await serveIt(createGreeter());
    const large = JSON.stringify({ name: "x".repeat(1024 * 1024) });
    expect(await answerTo(url, path, { method: "POST", body: large })).toEqual([413, "request_too_large"]);
  });

  test("takes what is left of a refused body for no further request", async () => {
    const { port } = await serveIt(createGreeter());
    const connection = await dial(port);
    connection.send(`POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n${"x".repeat(1_100_000)}`);
    expect(await connection.until("request_too_large")).toMatch(/^HTTP\/1\.1 413 [^]*connection: close\r\n/i);
  });

  test("does not mind a caller that leaves in the middle of its body", async () => {
    const { url } = await serveIt(createGreeter());
    const leaving = new AbortController();
    const half = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{"name":')) });
    const sent = fetch(`${url}${path}`, { method: "POST", body: half, duplex: "half", signal: leaving.signal } as RequestInit);
    leaving.abort();
    await expect(sent).rejects.toThrow();
    expect(await clientOf(url).post(path, { name: "Ani" }, Greeted, 5_000)).toEqual({ hello: "Ani", from: "proxy" });
  });
});

describe("createInternalClient()", () => {
  const unavailable = expect.objectContaining({ kind: "unavailable", message: "Cannot reach billing: no answer", detail: { retryAfterS: 1 } });
  const answering = (status: number, text: string): RequestListener => (request, response) => {
    request.resume();
    response.writeHead(status).end(text);
  };

  test.each<[string, RequestListener]>([
    ["refuses", answering(401, '{"error":{}}')],
    ["fails", answering(500, '{"error":{}}')],
    ["answers something that is not JSON", answering(200, "canary")],
    ["answers too much", answering(200, JSON.stringify("x".repeat(16 * 1024 * 1024)))],
    ["breaks off", (_, response) => void response.writeHead(200, { "content-length": "10" }).write("{", () => response.destroy())],
  ])("is unavailable when the callee %s", async (_, listener) => {
    const url = await listen(listener);
    await expect(clientOf(url).post(path, {}, z.unknown(), 5_000)).rejects.toThrow(unavailable);
  });

  test("is unavailable when nobody listens", async () => {
    await expect(clientOf("http://127.0.0.1:1").post(path, {}, z.unknown(), 5_000)).rejects.toThrow(unavailable);
  });

  test("is unavailable when the secret is another one", async () => {
    const { url } = await startRuntime({ nodeHandler: createGreeter().node });
    await expect(clientOf(url, "another secret").post(path, { name: "x" }, Greeted, 5_000)).rejects.toThrow(unavailable);
  });

  test("does not take an answer of another shape", async () => {
    const url = await listen(answering(200, '{"hello":1}'));
    await expect(clientOf(url).post(path, {}, Greeted, 5_000)).rejects.toThrow();
  });

  test("gives up after its time, and leaves the callee", async () => {
    let left = false;
    const url = await listen((_, response) => void response.once("close", () => (left = true)));
    await expect(clientOf(url).post(path, {}, z.unknown(), 50)).rejects.toThrow(unavailable);
    await waitFor("the end of the call", () => left);
  });

  test("never sends a call that was given up while it waited for a connection", async () => {
    const seen: string[] = [];
    let answer = () => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const url = await listen(async (request, response) => {
      seen.push(request.url!);
      await answered;
      response.end("{}");
    });
    const client = clientOf(url);
    const busy = Array.from({ length: 8 }, () => client.post("/busy", {}, z.unknown(), 5_000));
    await waitFor("every connection to be busy", () => seen.length === 8);
    await expect(client.post("/given-up", {}, z.unknown(), 50)).rejects.toThrow(unavailable);
    answer();
    await Promise.all(busy);
    await client.post("/after", {}, z.unknown(), 5_000);
    expect(seen.slice(8)).toEqual(["/after"]);
  });
});
