import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createKeptConnections, type KeptConnections } from "#shared/kept-connections.ts";

let stop: (() => void)[] = [];
afterEach(() => {
  for (const each of stop) each();
  stop = [];
});

async function listening(server: Server): Promise<KeptConnections> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const connections = createKeptConnections({ url: `http://127.0.0.1:${port}`, connectionsMax: 2, answerBytesMax: 1_000_000 });
  stop.push(() => connections.close(), () => server.close());
  return connections;
}

function serving(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    answer(request, response, body);
  });
  let opened = 0;
  server.on("connection", () => (opened += 1));
  stop.push(() => server.closeAllConnections());
  return { server, opened: () => opened };
}

/** Answers each call on a connection by its number, in bytes. */
function scripted(write: (call: number) => string | undefined) {
  let calls = 0;
  return createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => {
      calls += 1;
      const bytes = write(calls);
      if (bytes === undefined) socket.destroy();
      else socket.write(bytes);
    });
    stop.push(() => socket.destroy());
  });
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const post = (connections: KeptConnections, body = "{}", timeoutMs = 5_000) =>
  connections.post("/p", "content-type: application/json\r\n", body, timeoutMs);

describe("createKeptConnections()", () => {
  test("sends what it is given, again and again over one connection", async () => {
    const { server, opened } = serving((request, response, body) => {
      const text = JSON.stringify([request.method, request.url, request.headers["content-type"], body]);
      response.writeHead(body === "é" ? 503 : 200, { "content-length": Buffer.byteLength(text) }).end(text);
    });
    const connections = await listening(server);
    for (const body of ["{}", "é", "x".repeat(300_000)]) {
      const answer = await post(connections, body);
      expect(JSON.parse(answer.body.toString())).toEqual(["POST", "/p", "application/json", body]);
      expect(answer.status).toBe(body === "é" ? 503 : 200);
    }
    expect(opened()).toBe(1);
  });

  test("lets calls wait beyond its connections, and answers each its own", async () => {
    const { server, opened } = serving((_, response, body) => {
      setTimeout(() => response.writeHead(200, { "content-length": body.length }).end(body), Math.random() * 10);
    });
    const connections = await listening(server);
    const bodies = Array.from({ length: 20 }, (_, index) => `call ${index}`);
    const answers = await Promise.all(bodies.map((body) => post(connections, body)));
    expect(answers.map(({ body }) => body.toString())).toEqual(bodies);
    expect(opened()).toBe(2);
  });

  test("opens another connection after the callee closed one", async () => {
    const { server, opened } = serving((_, response) => response.writeHead(200, { "content-length": 2, connection: "close" }).end("ok"));
    const connections = await listening(server);
    await post(connections);
    expect((await post(connections)).body.toString()).toBe("ok");
    expect(opened()).toBe(2);
  });

  test("calls once more where a kept connection closes just as it is used", async () => {
    const connections = await listening(scripted((call) => (call === 2 ? undefined : ok)));
    expect((await post(connections)).body.toString()).toBe("ok");
    expect((await post(connections)).body.toString()).toBe("ok");
  });

  test.for([
    ["none", undefined],
    ["one without a length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
    ["one that breaks off its head", "HTTP/1.1 200 OK\r\nx: ".padEnd(20_000, "x")],
    ["one beyond the limit", "HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n"],
    ["more than one", ok + ok],
  ] as const)("rejects where the answer is %s, and goes on", async ([, bytes]) => {
    const connections = await listening(scripted((call) => (call === 1 ? bytes : ok)));
    await expect(post(connections)).rejects.toThrow("no answer");
    expect((await post(connections)).status).toBe(200);
  });

  test("speaks no TLS, and says so at start", () => {
    expect(() => createKeptConnections({ url: "https://billing:8080", connectionsMax: 1, answerBytesMax: 1 })).toThrow("begin with http://");
  });

  test("gives up in time, whether the call is on its way or waits", async () => {
    const { server } = serving(() => {});
    const connections = await listening(server);
    const calls = await Promise.allSettled(Array.from({ length: 4 }, () => post(connections, "{}", 100)));
    expect(calls.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected", "rejected"]);
  });
});
