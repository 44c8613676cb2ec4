import fc from "fast-check";
import { expect, test } from "vitest";
import { uuidv7, uuidv7TimeMs } from "#shared/ids.ts";

/** Milliseconds since 1970 until the year 10889: what 48 bits hold. */
const anyTimeMs = fc.integer({ min: 0, max: 2 ** 48 - 1 });

test("uuidv7() is a version 7 UUID of RFC 9562 that holds its time", () => {
  fc.assert(
    fc.property(anyTimeMs, (timeMs) => {
      const id = uuidv7(timeMs);
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(uuidv7TimeMs(id)).toBe(timeMs);
    }),
  );
});

test("uuidv7() sorts by time", () => {
  fc.assert(
    fc.property(anyTimeMs, anyTimeMs, (one, other) => {
      fc.pre(one < other);
      expect(uuidv7(one) < uuidv7(other)).toBe(true);
    }),
  );
});

test("uuidv7() of a time with a fraction holds its whole milliseconds", () => {
  expect(uuidv7TimeMs(uuidv7(1_778_457_600_123.9))).toBe(1_778_457_600_123);
});

test("uuidv7() never repeats within a millisecond, also when it draws new random bytes", () => {
  const ids = Array.from({ length: 10_000 }, () => uuidv7(0));
  expect(new Set(ids).size).toBe(ids.length);
});

test("uuidv7() draws each of its 74 random bits", () => {
  const random = Array.from({ length: 200 }, () => BigInt(`0x${uuidv7(0).replaceAll("-", "")}`));
  const varies = (bit: bigint) => new Set(random.map((id) => (id >> bit) & 1n)).size === 2;
  const varying = Array.from({ length: 128 }, (_, bit) => bit).filter((bit) => varies(BigInt(bit)));
  // From the right: 62 bits, 2 of the variant, 12 bits, 4 of the version, 48 of the time.
  expect(varying).toEqual([...Array(62).keys(), ...Array.from({ length: 12 }, (_, bit) => 64 + bit)]);
});

test.each(["", "not an id", "0190f3c2-0000-4000-8000-000000000000", "0190F3C2-0000-7000-8000-000000000000", "0190f3c2-0000-7000-c000-000000000000"])(
  "uuidv7TimeMs() of %j is NaN",
  (text) => {
    expect(uuidv7TimeMs(text)).toBeNaN();
  },
);
