import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { imageQualities } from "#shared/policy.ts";
import { priceOf } from "#shared/pricing.ts";
import type { Price } from "../../../functions/billing/schema.ts";
import { dearestImagePrice, imagePrice } from "../../../functions/proxy/image-price.ts";
import { inspect } from "../../../functions/proxy/inspection.ts";
import { routeOf } from "../../../functions/proxy/routes.ts";

const base: Price = { version: 1, effectiveAtMs: 0, inputMicro: 3, cachedInputMicro: 1, outputMicro: 7, imageMicro: 50, lines: [] };
const price: Price = {
  ...base,
  lines: [
    { version: 2, size: "512x512", quality: null, imageMicro: 10 },
    { version: 3, size: null, quality: "hd", imageMicro: 90 },
    { version: 4, size: "512x512", quality: "hd", imageMicro: 20 },
  ],
};

describe("imagePrice()", () => {
  test.each([
    [null, null, 1],
    ["1024x1024", "low", 1],
    ["512x512", null, 2],
    ["512x512", "low", 2],
    ["1024x1024", "hd", 3],
    [null, "hd", 3],
    ["512x512", "hd", 4],
  ])("of %s in quality %s is version %i", (size, quality, version) => {
    expect(imagePrice(price, { size, quality }).version).toBe(version);
  });

  test("is the price itself but for the image", () => {
    expect(imagePrice(price, { size: "512x512", quality: null })).toEqual({ ...price, version: 2, imageMicro: 10 });
  });
});

describe("dearestImagePrice()", () => {
  test.each([
    [null, null, 90],
    ["512x512", null, 20],
    ["1024x1024", null, 90],
    [null, "low", 50],
    ["512x512", "low", 10],
  ])("of %s in quality %s is %i for an image", (size, quality, imageMicro) => {
    expect(dearestImagePrice(price, { size, quality }).imageMicro).toBe(imageMicro);
  });

  test("is never below what an answer to the same request can be charged by", () => {
    const size = fc.constantFrom(null, "256x256", "512x512", "1024x1024");
    const quality = fc.constantFrom(null, ...imageQualities);
    const line = fc
      .record({ size, quality, imageMicro: fc.nat(1_000), version: fc.integer({ min: 2, max: 1_000 }) })
      .filter((each) => each.size !== null || each.quality !== null);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.nat(1_000), size, quality, size, quality, (lines, imageMicro, askedSize, askedQuality, saidSize, saidQuality) => {
        const each = { ...base, imageMicro, lines };
        const hold = dearestImagePrice(each, { size: askedSize, quality: askedQuality });
        const charge = imagePrice(each, { size: askedSize ?? saidSize, quality: askedQuality ?? saidQuality });
        const used = { promptTokens: 5, cachedTokens: 2, completionTokens: 0, images: 3 };
        expect(priceOf(used, charge)).toBeLessThanOrEqual(priceOf(used, hold));
      }),
    );
  });
});

describe("inspect()", () => {
  const read = (body: object) => {
    const route = routeOf("POST", "/v1/images/generations");
    if (route.to !== "inference") throw new Error("no inference route");
    return inspect(route.endpoint, Buffer.from(JSON.stringify({ model: "m", prompt: "a lake", ...body })), "application/json");
  };

  test("reads size and quality; auto and null leave them to the engine", () => {
    expect(read({ size: "512x512", quality: "hd" })).toMatchObject({ size: "512x512", quality: "hd" });
    expect(read({ size: "auto", quality: null })).toMatchObject({ size: null, quality: null });
  });

  test.each([
    { size: "512X512" },
    { size: "0512x512" },
    { size: " 512x512" },
    { size: "512x512x512" },
    { size: "large" },
    { quality: "HD" },
    { quality: "ultra" },
  ])("refuses another spelling of what decides the price: %j", (body) => {
    expect(() => read(body)).toThrow(/^Cannot use field (size|quality): /);
  });

  test("reads no quality of a variation, which its engine does not see", () => {
    const route = routeOf("POST", "/v1/images/variations");
    if (route.to !== "inference") throw new Error("no inference route");
    const part = (name: string, value: string, file = "") => `--b\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`;
    const form = `${part("model", "m")}${part("size", "512x512")}${part("quality", "low")}${part("image", "x", '; filename="a.png"')}--b--\r\n`;
    const found = inspect(route.endpoint, Buffer.from(form), "multipart/form-data; boundary=b");
    expect(found).toMatchObject({ size: "512x512", quality: null });
  });
});
