/** Stands between a function and the one that it calls, passes everything on, and counts the calls by path. */
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

export interface CountingRelay {
  url: string;
  counts: Record<string, number>;
  stop(): void;
}

export async function startCountingRelay(target: string): Promise<CountingRelay> {
  const { hostname, port } = new URL(target);
  const counts: Record<string, number> = {};
  const server = createServer((incoming, outgoing) => {
    counts[incoming.url!] = (counts[incoming.url!] ?? 0) + 1;
    const passed = request({ hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
