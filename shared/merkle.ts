/**
 * Merkle tree hashing of RFC 6962, section 2.1, with SHA-256: a leaf is hashed behind the byte 0, a node behind the
 * byte 1, so that neither passes for the other; of n leaves the left subtree has the largest power of two below n.
 * Leaves come one by one: memory grows with the logarithm of their number.
 */
import { hash } from "node:crypto";

/** Where a leaf stands, and the hashes of what its subtrees were joined with on the way up to the root. */
export interface InclusionProof {
  index: number;
  hashes: Buffer[];
}

/** As much of a tree as it takes to go on elsewhere: its leaves so far, and the hashes of its whole subtrees. */
export interface MerkleTreeBegun {
  size: number;
  /** From left to right, 32 bytes each: one for each bit of `size`. */
  subtrees: Buffer;
}

export interface MerkleTree {
  /** `follow`: the proof will be about this leaf; of several the last. */
  add(leaf: Uint8Array, follow?: boolean): void;
  /** The leaf that stands there in `bytes`: of millions, not even a view of each is made. */
  addFrom(bytes: Buffer, from: number, end: number, follow?: boolean): void;
  /** Proofs are not carried on. */
  begun(): MerkleTreeBegun;
  /** Call once, after all leaves. The root of no leaves is SHA-256 of nothing. */
  close(): { size: number; root: Buffer; proof: InclusionProof | undefined };
}

/** A hash as the characters of its bytes: of millions, strings of this size are thrown away for less than buffers. */
type Hash = string;

interface Subtree {
  hash: Hash;
  followed: boolean;
}

/** Bytes of SHA-256. */
const hashBytes = 32;

export function createMerkleTree(from: MerkleTreeBegun = { size: 0, subtrees: Buffer.alloc(0) }): MerkleTree {
  /** Whole subtrees from left to right, each of a smaller power of two: the bits of `size`. */
  const subtrees = hashesIn(from.subtrees).map((hash): Subtree => ({ hash, followed: false }));
  let { size } = from;
  let proof: InclusionProof | undefined;

  function joined(left: Subtree, right: Subtree): Subtree {
    if (left.followed) proof!.hashes.push(bytesOf(right.hash));
    if (right.followed) proof!.hashes.push(bytesOf(left.hash));
    return { hash: nodeHash(left.hash, right.hash), followed: left.followed || right.followed };
  }

  function addFrom(bytes: Buffer, from: number, end: number, follow = false): void {
    if (follow) {
      for (const subtree of subtrees) subtree.followed = false;
      proof = { index: size, hashes: [] };
    }
    size += 1;
    let subtree: Subtree = { hash: leafHash(bytes, from, end), followed: follow };
    for (let rest = size; rest % 2 === 0; rest /= 2) subtree = joined(subtrees.pop()!, subtree);
    subtrees.push(subtree);
  }

  return {
    add: (leaf, follow) => addFrom(Buffer.from(leaf.buffer, leaf.byteOffset, leaf.byteLength), 0, leaf.length, follow),
    addFrom,
    begun: () => ({ size, subtrees: bytesOf(subtrees.map(({ hash }) => hash).join("")) }),
    close() {
      if (size === 0) return { size, root: hash("sha256", "", "buffer"), proof };
      return { size, root: bytesOf(subtrees.reduceRight((right, left) => joined(left, right)).hash), proof };
    },
  };
}

/** The root of a tree of `size` leaves with this one in it (RFC 9162, section 2.1.3.2); undefined when the proof has another form. */
export function provenRoot(leaf: Uint8Array, size: number, { index, hashes }: InclusionProof): Buffer | undefined {
  if (index >= size) return undefined;
  let root = leafHash(Buffer.from(leaf), 0, leaf.length);
  let at = index;
  let last = size - 1;
  const goUp = () => {
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  };
  for (const other of hashes) {
    if (last === 0) return undefined;
    if (at % 2 === 0 && at !== last) root = nodeHash(root, textOf(other));
    else {
      root = nodeHash(textOf(other), root);
      // The last subtree has no sibling on its level: it was joined further up.
      while (at % 2 === 0 && at !== 0) goUp();
    }
    goUp();
  }
  return last === 0 ? bytesOf(root) : undefined;
}

function hashesIn(subtrees: Buffer): Hash[] {
  return Array.from({ length: subtrees.length / hashBytes }, (_, index) => textOf(subtrees.subarray(index * hashBytes, (index + 1) * hashBytes)));
}

const textOf = (bytes: Buffer): Hash => bytes.toString("latin1");
const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");

/** What is hashed is put together here, where it fits: leaves of a few hundred bytes, and any two hashes. */
const room = Buffer.alloc(1_024);
/** The beginning of it, by length; made once for each. */
const beginnings: Buffer[] = [];

function hashOfRoom(length: number): Hash {
  beginnings[length] ??= room.subarray(0, length);
  return hash("sha256", beginnings[length], "latin1");
}

function leafHash(bytes: Buffer, from: number, end: number): Hash {
  const length = end - from;
  if (length >= room.length) return hash("sha256", Buffer.concat([Buffer.of(0), bytes.subarray(from, end)]), "latin1");
  room[0] = 0;
  bytes.copy(room, 1, from, end);
  return hashOfRoom(length + 1);
}

function nodeHash(left: Hash, right: Hash): Hash {
  room[0] = 1;
  room.write(left, 1, "latin1");
  room.write(right, 1 + hashBytes, "latin1");
  return hashOfRoom(1 + 2 * hashBytes);
}
