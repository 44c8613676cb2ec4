/** The network that a caller comes from: all that is known of an address, and only as long as a request. */
import { isIP } from "node:net";

/** Hextets of a /48: what one customer of a provider has at the most. */
const hextetsKept = 3;

export type NetworkOf = (request: Request) => string | undefined;

/** `header` is one that the ingress sets; of several values the last one is its own. Without it nothing is known. */
export function createNetworkOf(header: string): NetworkOf {
  return function networkOf(request) {
    if (header === "") return undefined;
    return truncated((request.headers.get(header) ?? "").split(",").at(-1)!.trim());
  };
}

/** `203.0.113.7` -> `203.0.113.0/24`, `2001:db8:1:2::3` -> `2001:db8:1::/48`; undefined for what is no address. */
export function truncated(address: string): string | undefined {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const family = isIP(mapped ?? address);
  if (family === 4) return `${(mapped ?? address).split(".").slice(0, 3).join(".")}.0/24`;
  if (family === 0 || address.includes("%")) return undefined;
  // A URL has one way to write an address.
  const [before, after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::") as [string, string?];
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  const zeros = after === undefined ? [] : Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return `${[...head, ...zeros, ...tail].slice(0, hextetsKept).join(":")}::/48`;
}
