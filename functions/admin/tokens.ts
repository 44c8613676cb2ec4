/** Words that open something: made at random, given to one person, and kept as their SHA-256 only. */
import { hash, randomBytes } from "node:crypto";

/** 256 bits. */
const tokenBytes = 32;

export interface Token {
  word: string;
  digest: Buffer;
}

export function newToken(): Token {
  const word = randomBytes(tokenBytes).toString("base64url");
  return { word, digest: digestOf(word) };
}

export function digestOf(word: string): Buffer {
  return hash("sha256", word, "buffer");
}
