import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMerkleTree, type InclusionProof, provenRoot } from "#shared/merkle.ts";

const sizes = Array.from({ length: 65 }, (_, size) => size);
const leavesOf = (size: number) => Array.from({ length: size }, (_, index) => Buffer.from(`leaf ${index}`));
const leaves = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 150 });

/** RFC 6962, section 2.1, as it is written there. */
const sha256 = (...parts: Uint8Array[]) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const split = (size: number) => 2 ** (Math.ceil(Math.log2(size)) - 1);

function referenceRoot(all: Uint8Array[]): Buffer {
  if (all.length === 0) return sha256();
  if (all.length === 1) return sha256(Buffer.of(0), all[0]!);
  const at = split(all.length);
  return sha256(Buffer.of(1), referenceRoot(all.slice(0, at)), referenceRoot(all.slice(at)));
}

function referencePath(index: number, all: Uint8Array[]): Buffer[] {
  if (all.length === 1) return [];
  const at = split(all.length);
  return index < at
    ? [...referencePath(index, all.slice(0, at)), referenceRoot(all.slice(at))]
    : [...referencePath(index - at, all.slice(at)), referenceRoot(all.slice(0, at))];
}

function treeOf(all: Uint8Array[], followed?: number) {
  const tree = createMerkleTree();
  all.forEach((leaf, index) => tree.add(leaf, index === followed));
  return tree.close();
}

function flipped(bytes: Uint8Array, bit: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}

describe("createMerkleTree()", () => {
  test("has RFC 6962's root for every size", () => {
    for (const size of sizes) expect([size, treeOf(leavesOf(size)).root]).toEqual([size, referenceRoot(leavesOf(size))]);
    fc.assert(fc.property(leaves, (all) => treeOf(all).root.equals(referenceRoot(all))));
  });

  test("has the root that others published for the tree of RFC 6962's reference implementation", () => {
    const inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const { size, root } = treeOf(inputs.map((hex) => Buffer.from(hex, "hex")));
    expect([size, root.toString("hex")]).toEqual([8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]);
  });

  test("proves every leaf of every size by RFC 6962's path, and knows no proof of what it was not asked for", () => {
    for (const size of sizes) {
      const all = leavesOf(size);
      const root = referenceRoot(all);
      expect(treeOf(all).proof).toBeUndefined();
      for (const index of all.keys()) {
        const proof = treeOf(all, index).proof!;
        expect(proof).toEqual({ index, hashes: referencePath(index, all) });
        expect(provenRoot(all[index]!, size, proof)).toEqual(root);
      }
    }
  });

  test("goes on from what was begun elsewhere, at any leaf, to the same root and further state", () => {
    fc.assert(
      fc.property(leaves, fc.nat(150), (all, at) => {
        const first = createMerkleTree();
        for (const leaf of all.slice(0, at)) first.add(leaf);
        const begun = first.begun();
        expect(begun.subtrees.length).toBe(32 * begun.size.toString(2).replaceAll("0", "").length);
        const second = createMerkleTree({ size: begun.size, subtrees: Buffer.from(begun.subtrees) });
        for (const leaf of all.slice(at)) second.add(leaf);
        expect(second.close()).toEqual(treeOf(all));
      }),
    );
  });

  test("follows the last of the leaves that it is told to", () => {
    const tree = createMerkleTree();
    for (const leaf of leavesOf(7)) tree.add(leaf, true);
    expect(tree.close().proof).toEqual({ index: 6, hashes: referencePath(6, leavesOf(7)) });
  });
});

describe("provenRoot()", () => {
  const known = fc
    .array(fc.uint8Array({ minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 150 })
    .chain((all) => fc.record({ all: fc.constant(all), index: fc.nat(all.length - 1), bit: fc.nat(7), at: fc.nat() }));

  const rootBy = (leaf: Uint8Array, size: number, proof: InclusionProof) => provenRoot(leaf, size, proof)?.toString("hex");

  test("is another root for a leaf with one bit changed, and for a node that is given as a leaf", () => {
    fc.assert(
      fc.property(known, ({ all, index, bit }) => {
        const { root, proof } = treeOf(all, index);
        expect(rootBy(flipped(all[index]!, bit), all.length, proof!)).not.toBe(root.toString("hex"));
      }),
    );
    const [left, right] = leavesOf(2).map((leaf) => sha256(Buffer.of(0), leaf));
    const { root } = treeOf(leavesOf(2));
    expect(rootBy(Buffer.concat([Buffer.of(1), left!, right!]), 1, { index: 0, hashes: [] })).not.toBe(root.toString("hex"));
    expect(rootBy(Buffer.concat([left!, right!]), 1, { index: 0, hashes: [] })).not.toBe(root.toString("hex"));
  });

  test("is another root or none for a proof with one bit changed, one hash less or more, or another place", () => {
    fc.assert(
      fc.property(known, ({ all, index, bit, at }) => {
        const { size, root, proof } = treeOf(all, index);
        const { hashes } = proof!;
        const place = at % hashes.length;
        const wrong: InclusionProof[] = [
          { index, hashes: hashes.with(place, flipped(hashes[place]!, bit)) },
          { index, hashes: hashes.toSpliced(place, 1) },
          { index, hashes: [...hashes, root] },
          { index, hashes: [root, ...hashes] },
          { index: (index + 1 + (at % (size - 1))) % size, hashes },
          { index: size, hashes },
        ];
        for (const other of wrong) expect(rootBy(all[index]!, size, other)).not.toBe(root.toString("hex"));
      }),
    );
  });

  // Between two powers of two a path can fit several numbers of leaves: the number is signed beside the root.
  test("is another root or none for a number of leaves between two other powers of two", () => {
    fc.assert(
      fc.property(known, fc.integer({ min: 1, max: 1_000 }), ({ all, index }, size) => {
        fc.pre(Math.ceil(Math.log2(size)) !== Math.ceil(Math.log2(all.length)));
        const { root, proof } = treeOf(all, index);
        expect(rootBy(all[index]!, size, proof!)).not.toBe(root.toString("hex"));
      }),
    );
  });
});
