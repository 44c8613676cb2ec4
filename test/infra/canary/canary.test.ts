import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createCanary, disguises, findIn } from "#infra/canary/canary.ts";
import { createSearch, searchFolder } from "#infra/canary/search.ts";
import { disguised } from "../../support/disguise.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const canary = createCanary();
const { word, core } = canary;
const around = (bytes: Buffer) => Buffer.concat([randomBytes(100), bytes, randomBytes(100)]);

test.each(disguises)("findIn() finds a word that is %s, and says so (content.none)", (disguise) => {
  expect(findIn(canary, around(disguised[disguise](word)))).toContain(disguise);
  expect([...findIn(canary, around(disguised[disguise](createCanary().word)))]).toEqual([]);
});

test("findIn() finds base64 wherever the word begins in it, in both alphabets", () => {
  for (const before of ["", "x", "xy", "a longer text before "]) {
    for (const alphabet of ["base64", "base64url"] as const) {
      expect([...findIn(canary, Buffer.from(Buffer.from(`${before}${word}${before}`).toString(alphabet)))]).toEqual(["base64"]);
    }
  }
});

/** The word cut at any places: two pieces at the least. */
const cuts = fc.uniqueArray(fc.integer({ min: 1, max: core.length - 1 }), { minLength: 1, maxLength: core.length - 1 }).map((places) => {
  const sorted = [0, ...places.sort((one, other) => one - other), core.length];
  return sorted.slice(1).map((end, index) => core.slice(sorted[index], end));
});

const wrappings: Record<string, (pieces: string[]) => string> = {
  "a list": (pieces) => JSON.stringify(["before ", ...pieces, " after"]),
  "a list of many lines": (pieces) => JSON.stringify(pieces, null, 2),
  "events of a stream": (pieces) =>
    pieces.map((content, index) => `data: ${JSON.stringify({ id: "chatcmpl-8a1f", index, choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`).join(""),
  "log probabilities": (pieces) => JSON.stringify(pieces.map((token) => ({ token, logprob: -0.25, bytes: [...Buffer.from(token)] }))),
};

test.each(Object.entries(wrappings))("findIn() finds a word in pieces of any lengths in %s (content.none)", (_, wrap) => {
  fc.assert(fc.property(cuts, (pieces) => {
    expect([...findIn(canary, around(Buffer.from(wrap(pieces))))]).toEqual(["token-split"]);
  }));
});

test("findIn() finds nothing by chance in what stores are full of", () => {
  const random = randomBytes(4_000_000);
  const digest = createHash("sha256").update("x").digest("hex");
  for (const bytes of [random, Buffer.from(random.toString("base64")), Buffer.from(random.toString("hex").toUpperCase()), Buffer.from(`"${digest}",`.repeat(10_000))]) {
    expect([...findIn(canary, bytes)]).toEqual([]);
  }
});

test("a search finds each disguise, and the control, across the ends of chunks", async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom(...disguises), fc.integer({ min: 1, max: 5_000 }), async (disguise, length) => {
    const control = randomBytes(16);
    const bytes = Buffer.concat([randomBytes(20_000), disguised[disguise](word), control, randomBytes(20_000)]);
    const chunks = Array.from({ length: Math.ceil(bytes.length / length) }, (_, index) => bytes.subarray(index * length, (index + 1) * length));
    const search = createSearch(canary, { forms: [control] });
    await search.read("somewhere", chunks);
    expect(search).toMatchObject({ bytes: bytes.length, hasControl: true });
    expect(search.findings).toContainEqual({ place: "somewhere", disguise });
  }), { numRuns: 30 });
});

test("a search of a folder finds names and contents, follows no link, and leaves out what it is told to", async () => {
  const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
  for (const name of ["deep", "deep/er", "except"]) mkdirSync(join(folder, name));
  const file = join(folder, "deep/er/file");
  writeFileSync(file, word);
  writeFileSync(join(folder, "deep", `${core}.png`), "x");
  writeFileSync(join(folder, "except/file"), word);
  writeFileSync(join(elsewhere, "file"), word);
  symlinkSync(elsewhere, join(folder, "link"));

  const placesIn = async (path: string, options = {}) => {
    const search = createSearch(canary);
    await searchFolder(search, path, options);
    return search.findings.map(({ place }) => place).sort();
  };
  const name = `name of ${join(folder, "deep", `${core}.png`)}`;
  expect(await placesIn(folder, { except: [join(folder, "except")] })).toEqual([file, name]);
  expect(await placesIn(file)).toEqual([file]);
  const old = new Date(Date.now() - 60_000);
  utimesSync(file, old, old);
  expect(await placesIn(folder, { except: [join(folder, "except")], sinceMs: Date.now() - 30_000 })).toEqual([name]);
  expect(await placesIn(join(folder, "gone"))).toEqual([]);
});
