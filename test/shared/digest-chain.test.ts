import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { daysThatCount, DigestChainText, digestKeyOf, rotatedDigestChain } from "#shared/digest-chain.ts";
import { claimHours } from "#shared/stored-data.ts";

const secret = "a secret of some length";
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const at = (text: string) => Date.parse(text);
const dayOf = (text: string) => at(text) / dayMs;
const keyOf = (text: string, day: number) => digestKeyOf(DigestChainText.parse(text), day)?.toString("hex");

/** From the third day of a secret without a date until now: one that begins later is refused. */
const times = fc.integer({ min: at("2026-01-03T12:00:00Z"), max: Date.now() });

describe("digestKeyOf()", () => {
  test("is another key each day, of 256 bits, and the same for whoever has the secret", () => {
    const days = Array.from({ length: 400 }, (_, index) => dayOf("2026-01-01") + index);
    const keys = days.map((day) => keyOf(secret, day)!);
    expect(new Set(keys).size).toBe(days.length);
    expect(keys[0]).toHaveLength(64);
    expect(keyOf(secret, days[300]!)).toBe(keys[300]);
    expect(keyOf(`${secret}.`, days[300]!)).not.toBe(keys[300]);
  });
});

describe("rotatedDigestChain()", () => {
  test("leaves the keys of the days that count as they are, and destroys those before (content.none)", () => {
    fc.assert(
      fc.property(times, (nowMs) => {
        const rotated = rotatedDigestChain(secret, nowMs);
        const days = daysThatCount(nowMs);
        for (const day of days) expect(keyOf(rotated, day)).toBe(keyOf(secret, day));
        expect(keyOf(rotated, Math.min(...days) - 1)).toBeUndefined();
        expect(rotated).not.toContain(secret);
      }),
    );
  });

  test("comes to the same in one step or in several", () => {
    const [early, late] = ["2026-03-01T12:00:00Z", "2026-07-09T12:00:00Z"].map(at) as [number, number];
    expect(rotatedDigestChain(rotatedDigestChain(secret, early), late)).toBe(rotatedDigestChain(secret, late));
    // A rotation on a machine whose clock is behind takes nothing back.
    expect(rotatedDigestChain(rotatedDigestChain(secret, late), early)).toBe(rotatedDigestChain(secret, late));
  });
});

describe("daysThatCount()", () => {
  test("has today first, and every day that a claim which still counts can be of, clocks a second apart", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 0, max: claimHours * hourMs }), fc.integer({ min: -1_000, max: 1_000 }), (claimedMs, ageMs, apartMs) => {
        const nowMs = claimedMs + ageMs + apartMs;
        const days = daysThatCount(nowMs);
        expect(days[0]).toBe(Math.floor(nowMs / dayMs));
        expect(days).toContain(daysThatCount(claimedMs)[0]);
        expect(days.length).toBeLessThanOrEqual(3);
        expect(new Set(days).size).toBe(days.length);
      }),
    );
  });

  test.each([
    ["2026-05-02T12:00:00Z", ["2026-05-02", "2026-05-01"]],
    ["2026-05-02T00:00:30Z", ["2026-05-02", "2026-05-01", "2026-04-30"]],
    ["2026-05-01T23:59:30Z", ["2026-05-01", "2026-05-02", "2026-04-30"]],
  ])("at %s is %s", (now, days) => {
    expect(daysThatCount(at(now))).toEqual(days.map(dayOf));
  });
});

describe("DigestChainText", () => {
  test.each(["", "short", "a secret of some length@", `${secret}@2026-1-1`, `${secret}@x@2026-01-01`, `${secret}@9999-01-01`, `${secret}@2026-99-99`])(
    "refuses %j",
    (text) => {
      expect(DigestChainText.safeParse(text).success).toBe(false);
    },
  );
});

describe("infra/rotate-digest-chain.ts", () => {
  const command = fileURLToPath(new URL("../../infra/rotate-digest-chain.ts", import.meta.url));
  const rotate = (input: string) => spawnSync(process.execPath, [command], { input, encoding: "utf8" });

  test("writes the secret's next value", () => {
    const before = Date.now();
    const { stdout, status } = rotate(`${secret}\n`);
    expect(status).toBe(0);
    expect([before, Date.now()].map((nowMs) => rotatedDigestChain(secret, nowMs))).toContain(stdout);
  });

  test("says what is wrong without printing the secret", () => {
    const { stdout, stderr, status } = rotate(`${secret}@soon`);
    expect([stdout, status]).toEqual(["", 1]);
    expect(stderr).toMatch(/^Cannot rotate the secret digest-chain: it must be .*\n$/);
    expect(stderr).not.toContain(secret);
  });
});
