import { once } from "node:events";
import { createServer, type IncomingMessage, request, type RequestListener, type Server, type ServerResponse } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import { type RunningGateway, startGateway } from "#infra/local/gateway.ts";
import { createGatewayMetrics } from "#infra/local/gateway-metrics.ts";
import { createLogRing } from "#infra/local/log-ring.ts";
import { publicRoute } from "#infra/local/routes.ts";
import { parseStackFile } from "#infra/local/stack-file.ts";
import type { LocalFunction } from "#infra/local/system-api.ts";
import { ReceiptQuery, UsageQuery } from "../../functions/export/schema.ts";
import { waitFor } from "../support/wait.ts";

const password = "password-of-tests";
const definition = parseStackFile(`
version: "1.0"
provider: { name: openfaas, gateway: "http://127.0.0.1:8080" }
configuration: { copy: [shared] }
functions:
  proxy:
    lang: openfaas-node
    handler: ./functions/proxy
    image: epithre/proxy:0.1.0
    secrets: [edge-proxy-billing, cache-salt]
    annotations: { topic: cron-function, schedule: "0 * * * *" }
    limits: { memory: 1Gi, cpu: "2" }
`).functions.proxy!;

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function startFunction(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push({ close: () => new Promise((settle) => (server.close(settle), server.closeAllConnections())) });
  return portOf(server);
}

function portOf(server: { address(): unknown }): number {
  return (server.address() as { port: number }).port;
}

/** A gateway in front of one handler, which stands for every function of the public routes. */
async function startWith(listener: RequestListener): Promise<RunningGateway & { local: LocalFunction }> {
  const functionPort = await startFunction(listener);
  const local = { name: "proxy", definition, available: 1, createdAtMs: Date.UTC(2026, 0, 1), log: createLogRing() };
  const metrics = createGatewayMetrics(() => [local]);
  const gateway = await startGateway({
    port: 0,
    system: { functions: () => [local], invocations: metrics.invocations, password },
    metrics,
    functionPorts: new Map(["proxy", "export", "dashboard"].map((name) => [name, functionPort])),
  });
  open.push(gateway);
  return { ...gateway, local };
}

/** Answers with what the function saw. */
const echo: RequestListener = async (incoming, response) => {
  const body = await text(incoming);
  response.end(JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, bytes: body.length }));
};

async function seen(response: Response) {
  return (await response.json()) as { method: string; url: string; headers: Record<string, string>; bytes: number };
}

async function send(url: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<IncomingMessage> {
  const outgoing = request(url, { method: options.method ?? "GET", headers: options.headers ?? {} }).end(options.body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return response;
}

describe("public routes", () => {
  test("gateway passes /v1 on with its path, without the query, as the ingress does", async () => {
    const { url } = await startWith(echo);
    const { url: target, bytes } = await seen(await fetch(`${url}/v1/chat/completions?prompt=secret`, { method: "POST", body: "{}" }));
    expect(target).toBe("/v1/chat/completions");
    expect(bytes).toBe(2);
  });

  test("gateway passes the parameters on that a route lists: all that the export takes", async () => {
    const { url } = await startWith(echo);
    const { url: target } = await seen(await fetch(`${url}/v1/usage.csv?from=2026-01-01&prompt=secret&cursor=x`));
    expect(target).toBe("/v1/usage.csv?from=2026-01-01&cursor=x");
    expect(publicRoute("/v1/usage.csv")!.query).toEqual(Object.keys(UsageQuery.shape));
    expect(publicRoute("/v1/usage.csv.receipt")!.query).toEqual(Object.keys(ReceiptQuery.shape));
  });

  test("gateway takes internal headers off and tells the caller's address itself", async () => {
    const { url, port } = await startWith(echo);
    const spoofed = {
      "x-epithre-signature": "v1 proxy 1 2 3", "x-forwarded-for": "10.0.0.1", forwarded: "for=10.0.0.1", "x-real-ip": "10.0.0.1",
      connection: "close, x-private", "x-private": "1", te: "trailers", "x-mine": "kept", accept: "application/json",
    };
    const response = await send(`${url}/v1/models`, { headers: spoofed });
    const { headers } = JSON.parse(await text(response)) as { headers: Record<string, string> };
    expect(headers).toMatchObject({
      "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": `127.0.0.1:${port}`, "x-mine": "kept",
      accept: "text/event-stream",
    });
    for (const name of ["x-epithre-signature", "forwarded", "x-real-ip", "x-private", "te"]) expect(headers).not.toHaveProperty(name);
  });

  test.each(["/unknown", "/v1", "/dashboardx", "/ui/", "//v1/models"])("gateway answers %s with OpenAI's 404", async (path) => {
    const { url } = await startWith(echo);
    const response = await fetch(url + path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", code: "unknown_url" } });
  });

  test("gateway streams each piece of an answer as it comes", async () => {
    const proceed = Promise.withResolvers<void>();
    const { url } = await startWith(async (_, response) => {
      response.write("first");
      await proceed.promise;
      response.end("second");
    });
    const response = await send(`${url}/v1/chat/completions`, { method: "POST" });
    const [piece] = (await once(response, "data")) as [Buffer];
    expect(String(piece)).toBe("first");
    proceed.resolve();
    expect(await text(response)).toBe("second");
  });

  test("gateway sends the head of a stream before there is a body", async () => {
    const { url } = await startWith((_, response) => response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders());
    const response = await send(`${url}/v1/chat/completions`, { method: "POST" });
    expect(response.headers["content-type"]).toBe("text/event-stream");
  });

  test("gateway tells the function at once when the caller leaves", async () => {
    const left = Promise.withResolvers<void>();
    const { url } = await startWith((_, response) => {
      response.on("close", () => left.resolve()).write("first");
    });
    const response = await send(`${url}/v1/chat/completions`, { method: "POST" });
    await once(response, "data");
    response.destroy();
    await left.promise;
  });

  test("gateway streams a large upload", async () => {
    const firstBytes = Promise.withResolvers<void>();
    const { url } = await startWith((incoming) => void incoming.once("data", () => firstBytes.resolve()));
    const streaming = request(`${url}/v1/images/edits`, { method: "POST" });
    streaming.on("error", () => {}).write(Buffer.alloc(100_000));
    await firstBytes.promise;
    streaming.destroy();
  });

  test("gateway passes an answer on that comes before the end of the upload, to a caller that sends on", async () => {
    const { port } = await startWith((incoming, response) => {
      response.writeHead(413, { "content-length": 9, connection: "close" }).write("too large");
      incoming.resume().once("end", () => response.end());
    });
    // Node's own client stops sending at the answer; most others send on until they are done.
    const caller = connect(port, "127.0.0.1");
    const answer = text(caller);
    caller.write("POST /v1/images/edits HTTP/1.1\r\nhost: gateway\r\ncontent-length: 20000000\r\n\r\n");
    for (let sent = 0; sent < 20; sent += 1) {
      if (!caller.write(Buffer.alloc(1_000_000))) await once(caller, "drain");
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 413 [^]*\r\nconnection: close\r\n[^]*too large$/i);
  });

  test("gateway holds back the function while the caller reads slowly", async () => {
    let written = 0;
    const { url } = await startWith((_, response: ServerResponse) => {
      const fill = () => {
        while (written < 500_000_000 && !response.destroyed) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) return void response.once("drain", fill);
        }
      };
      fill();
    });
    const response = await send(`${url}/v1/usage.csv`);
    response.pause();
    let before = -1;
    await waitFor("the function to be held back", async () => {
      const isHeld = before === written;
      before = written;
      await new Promise((settle) => setTimeout(settle, 100));
      return isHeld;
    });
    expect(written).toBeLessThan(100_000_000);
    response.destroy();
  });

  test("gateway answers OpenAI's 503 with retry-after while a function is down", async () => {
    const { url } = await startWith((incoming) => void incoming.socket.destroy());
    const response = await fetch(`${url}/v1/models`);
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.json()).toMatchObject({ error: { type: "server_error", code: "service_unavailable" } });
  });

  test("gateway breaks the connection when a function dies in the middle of an answer", async () => {
    const { url } = await startWith((incoming, response) => {
      response.write("first", () => incoming.socket.destroy());
    });
    const response = await fetch(`${url}/v1/models`);
    await expect(response.text()).rejects.toThrow();
  });
});

describe("functions", () => {
  test.each(["/function/proxy/rest?a=1", "/function/proxy.openfaas-fn/rest?a=1"])("gateway calls the function of %s", async (path) => {
    const { url } = await startWith(echo);
    const response = await fetch(url + path, { headers: { "x-epithre-signature": "kept" } });
    const { url: target, headers } = await seen(response);
    expect(target).toBe("/rest?a=1");
    expect(headers["x-epithre-signature"]).toBe("kept");
  });

  test("gateway calls the function's root, as cron-connector does", async () => {
    const { url } = await startWith(echo);
    expect(await seen(await fetch(`${url}/function/proxy`, { method: "POST" }))).toMatchObject({ method: "POST", url: "/", bytes: 0 });
  });

  test("gateway collects 4 KiB of an answer, as OpenFaaS's does, unless the caller asks for events", async () => {
    const proceed = Promise.withResolvers<void>();
    const { url } = await startWith(async (_, response) => {
      response.write("x".repeat(4_000));
      await proceed.promise;
      response.end("end");
    });
    const streamed = await send(`${url}/function/proxy`, { headers: { accept: "text/event-stream" } });
    await once(streamed, "data");
    const collected = send(`${url}/function/proxy`);
    const winner = await Promise.race([collected, new Promise((settle) => setTimeout(settle, 200, "nothing yet"))]);
    expect(winner).toBe("nothing yet");
    proceed.resolve();
    expect(await text(await collected)).toBe(`${"x".repeat(4_000)}end`);
  });

  test("gateway answers 404 for a function that stack.yml does not have", async () => {
    const { url } = await startWith(echo);
    expect((await fetch(`${url}/function/nobody`)).status).toBe(404);
  });

  test("gateway refuses to queue a call (content.none)", async () => {
    const { url } = await startWith(echo);
    const response = await fetch(`${url}/async-function/proxy`, { method: "POST", body: "content" });
    expect(response.status).toBe(501);
    expect(await response.json()).toMatchObject({ error: { code: "queueing_refused" } });
  });
});

describe("system API", () => {
  const login = { authorization: `Basic ${Buffer.from(`admin:${password}`).toString("base64")}` };

  test("gateway closes /system to whoever lacks the password", async () => {
    const { url } = await startWith(echo);
    for (const authorization of [undefined, "Basic ", `Basic ${Buffer.from("admin:").toString("base64")}`]) {
      const response = await fetch(`${url}/system/functions`, { headers: authorization ? { authorization } : {} });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toContain("Basic");
    }
  });

  test("gateway lists functions as the provider of OpenFaaS does", async () => {
    const { url } = await startWith(echo);
    await (await fetch(`${url}/function/proxy`)).text();
    const [listed] = (await (await fetch(`${url}/system/functions?namespace=openfaas-fn`, { headers: login })).json()) as unknown[];
    const expected = {
      name: "proxy", image: "epithre/proxy:0.1.0", namespace: "openfaas-fn", replicas: 1, availableReplicas: 1, invocationCount: 1,
      annotations: { topic: "cron-function" }, secrets: ["edge-proxy-billing", "cache-salt"], createdAt: "2026-01-01T00:00:00.000Z",
    };
    expect(listed).toMatchObject(expected);
    expect(await (await fetch(`${url}/system/function/proxy`, { headers: login })).json()).toMatchObject(expected);
    expect((await fetch(`${url}/system/function/nobody`, { headers: login })).status).toBe(404);
    expect(await (await fetch(`${url}/system/functions?namespace=other`, { headers: login })).json()).toEqual([]);
  });

  test("gateway tells namespaces, secrets' names and what it is", async () => {
    const { url } = await startWith(echo);
    const get = async (path: string) => (await fetch(url + path, { headers: login })).json();
    expect(await get("/system/namespaces")).toEqual(["openfaas-fn"]);
    expect(await get("/system/secrets")).toEqual([
      { name: "cache-salt", namespace: "openfaas-fn" },
      { name: "edge-proxy-billing", namespace: "openfaas-fn" },
    ]);
    expect(await get("/system/info")).toMatchObject({ provider: { orchestration: "processes" } });
  });

  test.each([["POST", "/system/functions"], ["PUT", "/system/functions"], ["DELETE", "/system/functions"], ["POST", "/system/scale-function/proxy"], ["POST", "/system/secrets"]])(
    "gateway refuses %s %s, and says what to do",
    async (method, path) => {
      const { url } = await startWith(echo);
      const response = await fetch(url + path, { method, headers: login, body: "{}" });
      expect(response.status).toBe(501);
      expect(await response.text()).toContain("stack.yml");
    },
  );

  test("gateway shows the last lines of a log, and follows it until the caller leaves", async () => {
    const { url, local } = await startWith(echo);
    for (const line of ["one", "two"]) local.log.push({ timeMs: 0, instance: "proxy-1", text: line });
    const tail = await (await fetch(`${url}/system/logs?name=proxy&tail=1`, { headers: login })).text();
    expect(JSON.parse(tail)).toEqual({ name: "proxy", namespace: "openfaas-fn", instance: "proxy-1", timestamp: "1970-01-01T00:00:00.000Z", text: "two" });

    const following = await send(`${url}/system/logs?name=proxy&follow=true&tail=0`, { headers: login });
    local.log.push({ timeMs: 0, instance: "proxy-1", text: "three" });
    const [piece] = (await once(following, "data")) as [Buffer];
    expect(JSON.parse(String(piece))).toMatchObject({ text: "three" });
    following.destroy();
  });
});

test("gateway counts calls by function and code, under the names of OpenFaaS, and names nothing else", async () => {
  const { url } = await startWith(echo);
  await (await fetch(`${url}/v1/models?q=caller-text`)).text();
  const metrics = await waitFor("the call to be counted", async () => {
    const shown = await (await fetch(`${url}/metrics`)).text();
    return shown.includes("invocation_total{") && shown;
  });
  expect(metrics).toContain('gateway_function_invocation_total{function_name="proxy.openfaas-fn",code="200"} 1');
  expect(metrics).toContain('gateway_functions_seconds_count{function_name="proxy.openfaas-fn",code="200"} 1');
  expect(metrics).toContain('gateway_service_count{function_name="proxy.openfaas-fn"} 1');
  expect(metrics).not.toContain("caller-text");
  expect(await (await fetch(`${url}/healthz`)).text()).toBe("OK");
});

test("startGateway() says in one sentence that its port is taken", async () => {
  const other: Server | ReturnType<typeof createTcpServer> = createTcpServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  open.push(other);
  const options = { system: { functions: () => [], invocations: () => 0, password }, metrics: createGatewayMetrics(() => []) };
  await expect(startGateway({ ...options, port: portOf(other), functionPorts: new Map() })).rejects.toThrow(
    `Cannot listen on port ${portOf(other)}: another program uses it; end that one or give --port another`,
  );
});
