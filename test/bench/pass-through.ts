/**
 * The reference of the benchmark: a bare pass-through on the same runtime and libraries, with no key check, no
 * metering and no look at the bytes. `node pass-through.ts BACKEND_URL` prints `{"listening":port}`.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";
import { Pool } from "undici";

const pool = new Pool(process.argv[2]!, { connections: null, pipelining: 1 });

const server = createServer(async (request, response) => {
  try {
    const { statusCode, headers, body } = await pool.request({
      method: "POST",
      path: request.url!,
      headers: { "content-type": "application/json" },
      body: request,
    });
    response.writeHead(statusCode, { "content-type": String(headers["content-type"]) });
    pipeline(body, response, () => {});
  } catch {
    response.writeHead(502).end();
  }
});

server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: (server.address() as AddressInfo).port }));
});
