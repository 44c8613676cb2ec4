/** Ports of this machine for the stack's own processes. */
import { createServer, type Server } from "node:net";

/** Below the range that Linux gives to outgoing connections (32768 and up), so that none takes one meanwhile. */
const portMin = 20_000;
const portMax = 32_000;

/** Attempts before giving up: even with half of the range taken, 1 in 2^200 fails. */
const attemptsMax = 200;

/** `count` ports on loopback that nothing listened on a moment ago, all different. */
export async function findFreePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  for (let attempt = 0; ports.length < count && attempt < count * attemptsMax; attempt += 1) {
    const port = portMin + Math.floor(Math.random() * (portMax - portMin));
    const server = await hold(port);
    if (!server) continue;
    held.push(server);
    ports.push(port);
  }
  await Promise.all(held.map((server) => new Promise((settle) => server.close(settle))));
  if (ports.length < count) throw new Error(`Cannot start: no free ports between ${portMin} and ${portMax} on this machine`);
  return ports;
}

function hold(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((settle) => {
    server.once("error", () => settle(undefined));
    server.listen(port, "127.0.0.1", () => settle(server));
  });
}
