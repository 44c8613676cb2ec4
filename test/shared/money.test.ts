import fc from "fast-check";
import { expect, test } from "vitest";
import { formatRupiah, microPerRupiah } from "#shared/money.ts";

test.each([
  [0n, "0.000000"],
  [1n, "0.000001"],
  [-1n, "-0.000001"],
  [1_234_567n, "1.234567"],
  [-1_000_000n, "-1.000000"],
  [9_223_372_036_854_775_807n, "9223372036854.775807"],
  [1_500_000, "1.500000"],
])("formatRupiah(%s) is %s", (micro, text) => {
  expect(formatRupiah(micro)).toBe(text);
});

test("formatRupiah() loses nothing: its digits are the amount", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (micro) => {
      const text = formatRupiah(micro);
      expect(text).toMatch(/^-?(0|[1-9]\d*)\.\d{6}$/);
      expect(BigInt(text.replace(".", ""))).toBe(micro);
    }),
  );
});

test("formatRupiah() refuses an amount that is not whole", () => {
  expect(() => formatRupiah(0.5)).toThrow(RangeError);
  expect(() => formatRupiah(Number.NaN)).toThrow(RangeError);
});

test("a price in micro-rupiah for a token is the same number of rupiah for a million tokens", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (price) => {
      expect(formatRupiah(price * microPerRupiah)).toBe(`${price}.000000`);
    }),
  );
});
