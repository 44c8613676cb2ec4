/**
 * Inference stays on the private network (path.selfhosted): addresses are checked when a connection is made, whatever
 * a name resolved to before, so that a changed DNS answer cannot send a prompt elsewhere.
 */
import { lookup as lookUp, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** RFC 1918, RFC 4193, loopback and link-local addresses. */
const privateAddresses = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
] as const) {
  privateAddresses.addSubnet(network, prefix, "ipv4");
}
for (const [network, prefix] of [
  ["::1", 128],
  ["fc00::", 7],
  ["fe80::", 10],
] as const) {
  privateAddresses.addSubnet(network, prefix, "ipv6");
}

export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && privateAddresses.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** Whether a backend's URL may be used as it is: a name is judged later, by what it resolves to. */
export function mayBePrivate(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(host) === 0 || isPrivateAddress(host);
}

/** `net.connect`'s lookup, which fails for a name with any public address. */
export function createPrivateLookup(resolve = lookUp as unknown as ResolveAll): LookupFunction {
  return function lookupPrivate(hostname, options, callback) {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const refused = error ?? (addresses.every(({ address }) => isPrivateAddress(address)) ? null : notPrivate());
      if (refused) callback(refused, []);
      else if (options.all) callback(null, addresses);
      else callback(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

export type ResolveAll = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

function notPrivate(): NodeJS.ErrnoException {
  return Object.assign(new Error("Cannot use backend: its name resolves to a public address"), { code: "ENOTPRIVATE" });
}
