import { connect, createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createPrivateLookup, isPrivateAddress, mayBePrivate, type ResolveAll } from "#shared/private-address.ts";

test.each([
  ["10.1.2.3", true],
  ["172.31.255.255", true],
  ["172.32.0.1", false],
  ["192.168.0.9", true],
  ["127.0.0.1", true],
  ["8.8.8.8", false],
  ["::1", true],
  ["fd00::1", true],
  ["2001:4860:4860::8888", false],
  ["::ffff:8.8.8.8", false],
  ["not an address", false],
])("isPrivateAddress() of %s is %s (path.selfhosted)", (address, is) => {
  expect(isPrivateAddress(address)).toBe(is);
});

test("mayBePrivate() refuses a public address in a backend's URL at start (path.selfhosted)", () => {
  expect(mayBePrivate("http://8.8.8.8:8000")).toBe(false);
  expect(mayBePrivate("http://[2001:4860:4860::8888]/v1")).toBe(false);
  expect(mayBePrivate("http://10.0.0.7:8000/v1")).toBe(true);
  expect(mayBePrivate("http://vllm.inference.svc:8000")).toBe(true);
});

test("createPrivateLookup() judges a name by what it resolves to now, each time (path.selfhosted)", async () => {
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  let answers = [{ address: "127.0.0.1", family: 4 }];
  const resolve: ResolveAll = (_hostname, _options, callback) => callback(null, answers);
  const connectOnce = () =>
    new Promise<string>((settle) => {
      const socket = connect({ host: "engine.example", port, lookup: createPrivateLookup(resolve) });
      socket.once("connect", () => settle("connected"));
      socket.once("error", (error: NodeJS.ErrnoException) => settle(error.code ?? "unknown"));
    });
  expect(await connectOnce()).toBe("connected");
  answers = [{ address: "127.0.0.1", family: 4 }, { address: "192.0.2.1", family: 4 }];
  expect(await connectOnce()).toBe("ENOTPRIVATE");
  server.close();
});
