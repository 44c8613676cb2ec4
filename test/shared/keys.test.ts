import { hash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { generateKey, hashKey, isWellFormedKey, keyPrefix } from "#shared/keys.ts";

describe("generateKey()", () => {
  test("makes keys of the announced form that differ", () => {
    const keys = Array.from({ length: 500 }, generateKey);
    expect(new Set(keys).size).toBe(500);
    for (const key of keys) {
      expect(key).toMatch(/^ep_[0-9A-Za-z]{46}$/);
      expect(isWellFormedKey(key)).toBe(true);
    }
  });

  test("uses each of the 62 characters about equally often", () => {
    const counts = new Map<string, number>();
    const characters = Array.from({ length: 1_000 }, () => generateKey().slice(3, 43)).join("");
    for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts.size).toBe(62);
    const expected = characters.length / 62;
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(expected * 0.35);
  });
});

describe("isWellFormedKey()", () => {
  test("refuses any key with one character changed, missing or added", () => {
    const key = generateKey();
    fc.assert(
      fc.property(fc.nat(key.length - 1), fc.constantFrom(..."09AZaz_é \n"), (at, character) => {
        fc.pre(key[at] !== character);
        expect(isWellFormedKey(key.slice(0, at) + character + key.slice(at + 1))).toBe(false);
        expect(isWellFormedKey(key.slice(0, at) + key.slice(at + 1))).toBe(false);
        expect(isWellFormedKey(key.slice(0, at) + character + key.slice(at))).toBe(false);
      }),
    );
  });
});

test("hashKey() is SHA-256 in lower-case hex (sec.key)", () => {
  const key = generateKey();
  expect(hashKey(key)).toBe(hash("sha256", key, "hex"));
  expect(hashKey(key)).toMatch(/^[0-9a-f]{64}$/);
});

test("keyPrefix() is the first 12 characters (keep.key)", () => {
  expect(keyPrefix("ep_abcdefghijklmnop")).toBe("ep_abcdefghi");
});
