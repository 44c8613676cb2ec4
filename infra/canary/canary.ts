/** A word that cannot occur by chance, the disguises in which it could be stored, and the search for them in bytes. */
import { randomInt } from "node:crypto";
import { isSplit } from "./token-split.ts";

export const disguises = ["plain", "lower-case", "base64", "hex", "url-encoded", "reversed", "utf-16", "token-split"] as const;
export type Disguise = (typeof disguises)[number];

export interface Canary {
  /** Put into each content; what stands around it may say where. */
  word: string;
  /** Its letters, which survive any escaping: for places that take letters only, such as names of tools. */
  core: string;
  needles: readonly (readonly [Disguise, Buffer])[];
}

/** Rare in what stores write by themselves, and no digits of hex: a split word is told by single letters (token-split.ts). */
const alphabet = "GHJKLMNPQRSTVWXYZ";

/** 98 random bits. */
const coreLength = 24;

/** The word has characters that JSON, URLs and forms write differently. */
export function createCanary(): Canary {
  const core = Array.from({ length: coreLength }, () => alphabet[randomInt(alphabet.length)]).join("");
  const word = `Cnry~${core}/é+`;
  const bytes = Buffer.from(core);
  const hex = bytes.toString("hex");
  const needles: [Disguise, Buffer][] = [
    ["plain", bytes],
    ["lower-case", Buffer.from(core.toLowerCase())],
    ["hex", Buffer.from(hex)],
    ["hex", Buffer.from(hex.toUpperCase())],
    ["url-encoded", Buffer.from(encodeURIComponent(word))],
    ["reversed", Buffer.from(bytes).reverse()],
    ["utf-16", Buffer.from(core, "utf16le")],
  ];
  // Base64 of a text depends on where in its groups of three it begins; the first and last groups on its neighbours.
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(word)]).toString("base64").slice(4, -4);
    needles.push(["base64", Buffer.from(encoded)], ["base64", Buffer.from(encoded.replaceAll("+", "-").replaceAll("/", "_"))]);
  }
  return { word, core, needles };
}

/** Bytes that two pieces of a long text must share, so that nothing between them is overlooked: more than any disguise spans. */
export const overlapBytes = 16 * 1024;

/** The disguises in which the word is in these bytes. */
export function findIn({ core, needles }: Canary, bytes: Buffer): Set<Disguise> {
  const found = new Set(needles.filter(([, needle]) => bytes.includes(needle)).map(([disguise]) => disguise));
  return isSplit(core, bytes) ? found.add("token-split") : found;
}
