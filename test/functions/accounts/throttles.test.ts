import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { createNetworkOf, truncated } from "../../../functions/accounts/client-address.ts";
import { createThrottles } from "../../../functions/accounts/throttles.ts";

function throttlesAt() {
  let nowMs = 0;
  return { throttles: createThrottles({ ...systemClock, monotonicMs: () => nowMs }), pass: (ms: number) => void (nowMs += ms) };
}

const triesLeft = (attempt: () => unknown) => {
  for (let tries = 0; tries < 1_000; tries += 1) {
    try {
      attempt();
    } catch (thrown) {
      expect(thrown).toMatchObject({ kind: "rate_limit_exceeded" });
      return tries;
    }
  }
  return Number.POSITIVE_INFINITY;
};

describe("createThrottles()", () => {
  test("counts each name by itself, until the hour is over", () => {
    const { throttles, pass } = throttlesAt();
    expect(triesLeft(() => throttles.take({ mailToEmail: "a@example.com" }))).toBe(4);
    expect(triesLeft(() => throttles.take({ mailToEmail: "b@example.com" }))).toBe(4);
    expect(triesLeft(() => throttles.take({ passwordOfAccount: "a@example.com" }))).toBe(10);
    pass(3_599_999);
    expect(triesLeft(() => throttles.take({ mailToEmail: "a@example.com" }))).toBe(0);
    pass(1);
    expect(triesLeft(() => throttles.take({ mailToEmail: "a@example.com" }))).toBe(4);
  });

  test("counts nothing that is not known, and nothing of a try that is refused", () => {
    const { throttles } = throttlesAt();
    expect(triesLeft(() => throttles.take({ loginFromAddress: undefined }))).toBe(Number.POSITIVE_INFINITY);
    triesLeft(() => throttles.take({ mailToEmail: "a@example.com" }));
    triesLeft(() => throttles.take({ mailToEmail: "a@example.com", mailFromAddress: "203.0.113.0/24" }));
    expect(triesLeft(() => throttles.take({ mailFromAddress: "203.0.113.0/24" }))).toBe(20);
  });

  test("takes a try back once, and not into another hour", () => {
    const { throttles, pass } = throttlesAt();
    const giveBack = throttles.take({ passwordOfAccount: "one" });
    giveBack();
    giveBack();
    expect(triesLeft(() => throttles.take({ passwordOfAccount: "one" }))).toBe(10);
    const old = throttles.take({ passwordOfAccount: "two" });
    pass(3_600_000);
    expect(triesLeft(() => throttles.take({ passwordOfAccount: "two" }))).toBe(10);
    old();
    expect(triesLeft(() => throttles.take({ passwordOfAccount: "two" }))).toBe(0);
  });

  test("keeps its limits for one while a flood of others is counted", () => {
    const { throttles } = throttlesAt();
    for (let name = 0; name < 50_000; name += 1) throttles.take({ loginOfAccount: `${name}@example.com` });
    expect(triesLeft(() => throttles.take({ loginOfAccount: "someone@example.com" }))).toBe(60);
  });
});

describe("truncated()", () => {
  test.each([
    ["203.0.113.77", "203.0.113.0/24"],
    ["::ffff:203.0.113.77", "203.0.113.0/24"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"],
    ["2001:db8:1::3", "2001:db8:1::/48"],
    ["2001:0DB8:0001:0000::1", "2001:db8:1::/48"],
    ["2001:db8::1", "2001:db8:0::/48"],
    ["::1", "0:0:0::/48"],
    ["::", "0:0:0::/48"],
    ["fe80::1%eth0", undefined],
    ["unknown", undefined],
    ["203.0.113.77:443", undefined],
    ["", undefined],
  ])("%s -> %s", (address, network) => {
    expect(truncated(address)).toBe(network);
  });

  test("is the same for all addresses of a network, and another for any other", () => {
    const hextets = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
    const text = (parts: number[]) => parts.map((part) => part.toString(16)).join(":");
    fc.assert(
      fc.property(hextets, hextets, (one, other) => {
        // Those of ::ffff:0:0/96 are IPv4's, and tell a network of their own.
        fc.pre(one.slice(0, 5).some(Boolean));
        expect(isIP(text(one))).toBe(6);
        expect(truncated(text([...one.slice(0, 3), ...other.slice(3)]))).toBe(truncated(text(one)));
        const differs = one.slice(0, 3).some((part, index) => part !== other[index]);
        expect(truncated(text(one)) !== truncated(text(other))).toBe(differs);
      }),
    );
  });
});

describe("createNetworkOf()", () => {
  const request = (headers: Record<string, string>) => new Request("http://test/", { headers });

  test("believes no header unless it is told which one the ingress sets, and of it the last value", () => {
    const headers = { "x-forwarded-for": "198.51.100.1, 203.0.113.77", "x-real-ip": "192.0.2.1", forwarded: "for=192.0.2.2" };
    expect(createNetworkOf("")(request(headers))).toBeUndefined();
    expect(createNetworkOf("x-forwarded-for")(request(headers))).toBe("203.0.113.0/24");
    expect(createNetworkOf("x-real-ip")(request(headers))).toBe("192.0.2.0/24");
    expect(createNetworkOf("x-client-ip")(request(headers))).toBeUndefined();
  });
});
