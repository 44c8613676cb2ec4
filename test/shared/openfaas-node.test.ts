import type { LifecycleLine } from "openfaas-node";
import { describe, expect, test } from "vitest";
import { dial } from "../support/raw-connection.ts";
import { createSource, startRuntime } from "../support/runtime.ts";
import { waitFor } from "../support/wait.ts";

const openAiError = { message: expect.any(String), type: "server_error", param: null, code: "internal_error" };

/** The line may come a moment after the answer. */
async function failureIn(lines: LifecycleLine[]): Promise<void> {
  await waitFor("the line of a failure", () => lines.length > 1);
  expect(lines.slice(1)).toEqual([{ at: "handler_failed", kind: "unexpected" }]);
}

describe("serve()", () => {
  test("gives paths below handlerPath to the handler and the others to the raw one", async () => {
    const { url } = await startRuntime({
      handlerPath: "/v1/",
      handler: async (request) => new Response(`web ${new URL(request.url).pathname}`),
      nodeHandler: (message, response) => response.end(`raw ${message.url}`),
    });
    const textAt = async (path: string) => (await fetch(`${url}${path}`)).text();
    expect(await Promise.all(["/v1/a", "/v1", "/leases"].map(textAt))).toEqual(["web /v1/a", "raw /v1", "raw /leases"]);
  });

  test("hands over method, path, query, headers and body, and answers what the handler says", async () => {
    const { url } = await startRuntime({
      async handler(request) {
        const { pathname, search } = new URL(request.url);
        const seen = [request.method, pathname, search, request.headers.get("x-two"), await request.text()];
        return new Response(JSON.stringify(seen), { status: 201, headers: { "x-answer": "yes" } });
      },
    });
    const response = await fetch(`${url}/some/path?a=1&a=2`, { method: "PUT", headers: [["x-two", "1"], ["x-two", "2"]], body: "hallo" });
    expect(response.status).toBe(201);
    expect(response.headers.get("x-answer")).toBe("yes");
    expect(await response.json()).toEqual(["PUT", "/some/path", "?a=1&a=2", "1, 2", "hallo"]);
  });

  test("takes nothing from the caller's idea of the host, and reads a target with one as its path", async () => {
    const { port } = await startRuntime({ handler: async (request) => new Response(request.url) });
    const connection = await dial(port);
    connection.send("GET http://elsewhere.example/a?b HTTP/1.1\r\nhost: evil.example\r\n\r\n");
    await connection.until("http://function/a?b");
  });

  test.each(["OPTIONS * HTTP/1.1", "TRACE / HTTP/1.1"])("refuses %s, which no function takes, without calling it", async (line) => {
    let called = false;
    const { port, lines } = await startRuntime({
      async handler() {
        called = true;
        return new Response();
      },
    });
    const connection = await dial(port);
    connection.send(`${line}\r\nhost: a\r\n\r\n`);
    expect(await connection.until("invalid_request_error")).toMatch(/^HTTP\/1\.1 400 /);
    expect(called).toBe(false);
    expect(lines.map((line) => line.at)).toEqual(["started"]);
  });

  test("keeps a connection for the next request, with and without bodies, read or not", async () => {
    const { port } = await startRuntime({
      async handler(request) {
        return new Response(`${request.method}:${request.url.endsWith("read") ? await request.text() : "unread"}.`);
      },
    });
    const connection = await dial(port);
    for (const [send, answer] of [
      ["POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none", "POST:one."],
      ["GET /read HTTP/1.1\r\nhost: a\r\n\r\n", "GET:."],
      ["POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo", "POST:unread."],
      ["POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n", "POST:three."],
    ] as const) {
      connection.send(send);
      await connection.until(answer);
    }
    expect(connection.closed()).toBe(false);
  });

  test("sends no body where HTTP has none", async () => {
    const source = createSource();
    const { port } = await startRuntime({
      handler: async (request) => (request.method === "HEAD" ? new Response(source.stream) : new Response(null, { status: 204 })),
    });
    const connection = await dial(port);
    connection.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    await connection.until("\r\n\r\n");
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(await connection.until("HTTP/1.1 204")).toMatch(/^HTTP\/1\.1 200 [^]*?\r\n\r\nHTTP\/1\.1 204 /);
    expect(source.cancelled).toBe(true);
  });
});

describe("/_/ routes", () => {
  test("answer health and readiness without calling the handler, to GET alone", async () => {
    const { url } = await startRuntime({ handler: async () => new Response("handler", { status: 418 }) });
    expect((await fetch(`${url}/_/health`)).status).toBe(200);
    expect((await fetch(`${url}/_/ready?probe`)).status).toBe(200);
    expect((await fetch(`${url}/_/ready`, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${url}/_/other`)).status).toBe(404);
    expect((await fetch(`${url}/_/metrics`)).status).toBe(404);
  });

  test("answer the metrics' text, or 500 without a word of what failed (content.none)", async () => {
    let text = async () => "requests_total 1\n";
    const { url } = await startRuntime({ handler: async () => new Response(), metrics: () => text() });
    expect(await (await fetch(`${url}/_/metrics`)).text()).toBe("requests_total 1\n");
    text = async () => {
      throw new Error("canary");
    };
    const failed = await fetch(`${url}/_/metrics`);
    expect([failed.status, await failed.text()]).toEqual([500, ""]);
  });

  test("survive a scraper that leaves before its metrics are there", async () => {
    let give: ((text: string) => void) | undefined;
    const { port, url } = await startRuntime({
      handler: async () => new Response(),
      metrics: () => new Promise((resolve) => (give = resolve)),
    });
    const connection = await dial(port);
    connection.send("GET /_/metrics HTTP/1.1\r\nhost: a\r\n\r\n");
    await waitFor("the scrape", () => give);
    connection.socket.destroy();
    await fetch(`${url}/_/health`);
    give!("requests_total 1\n");
    expect((await fetch(`${url}/_/health`)).status).toBe(200);
  });
});

describe("faults of a handler", () => {
  test("become OpenAI's error object, and say nothing of what was thrown (content.none)", async () => {
    const { url, lines } = await startRuntime({
      async handler() {
        throw new Error("canary");
      },
    });
    const response = await fetch(url);
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(JSON.parse(text)).toEqual({ error: openAiError });
    expect(text).not.toContain("canary");
    await failureIn(lines);
  });

  test("are explained by onError where it can", async () => {
    const { url, lines } = await startRuntime({
      async handler(request) {
        throw request.url.endsWith("/known") ? "known" : new Error("canary");
      },
      onError(thrown) {
        if (thrown === "known") return new Response("explained", { status: 409 });
        throw thrown;
      },
    });
    const known = await fetch(`${url}/known`);
    expect([known.status, await known.text()]).toEqual([409, "explained"]);
    expect(lines.map((line) => line.at)).toEqual(["started"]);
    const unknown = await fetch(`${url}/unknown`);
    expect([unknown.status, await unknown.json()]).toEqual([500, { error: openAiError }]);
    await failureIn(lines);
  });

  test("are logged too when the handler answers 500 by itself", async () => {
    const { url, lines } = await startRuntime({ handler: async () => new Response("ours", { status: 500 }) });
    expect(await (await fetch(url)).text()).toBe("ours");
    await failureIn(lines);
  });

  test.each([
    ["nothing", async () => undefined as unknown as Response],
    ["a body that was read before", usedResponse],
    ["a status that HTTP does not have", async () => Response.error()],
  ])("become a 500 when it answers %s", async (_, handler) => {
    const { url, lines } = await startRuntime({ handler });
    const response = await fetch(url);
    expect([response.status, await response.json()]).toEqual([500, { error: openAiError }]);
    await failureIn(lines);
  });

  test("in the middle of a body break the connection, so that nobody takes the part for the whole", async () => {
    const source = createSource();
    const { port, lines } = await startRuntime({ handler: async () => new Response(source.stream) });
    const connection = await dial(port);
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    source.give("half");
    await connection.until("half");
    source.fail();
    const all = await connection.untilClosed();
    expect(all).not.toContain("\r\n0\r\n\r\n");
    expect(all).not.toContain("canary");
    await failureIn(lines);
  });

  test("in raw mode end one request, not the process", async () => {
    const { url, lines } = await startRuntime({
      nodeHandler(request, response) {
        if (request.url === "/throw") throw new Error("canary");
        response.end("fine");
        if (request.url === "/late") response.write("late");
      },
    });
    const failed = await fetch(`${url}/throw`);
    expect([failed.status, await failed.text()]).toEqual([500, ""]);
    await failureIn(lines);
    expect(await (await fetch(`${url}/late`)).text()).toBe("fine");
    expect(await (await fetch(url)).text()).toBe("fine");
  });
});

test("serve() says in one sentence that it cannot have its port", async () => {
  const { port } = await startRuntime({ handler: async () => new Response() });
  await expect(startRuntime({ port, handler: async () => new Response() })).rejects.toThrow(
    `Cannot listen on 127.0.0.1:${port}: another process has this port; end it, or choose another PORT`,
  );
});

async function usedResponse(): Promise<Response> {
  const response = new Response("used");
  await response.text();
  return response;
}
