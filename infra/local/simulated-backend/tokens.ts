/**
 * The simulated tokeniser. A prompt has one token for each 4 bytes of its UTF-8 text, rounded up, plus the fixed
 * template allowance. An answer has one token for each piece of whole characters of at most 4 bytes.
 */
import { imageTokens, templateTokens } from "./models.ts";

/** Bytes of text in one token. */
const bytesPerToken = 4;

export function promptTokens(textBytes: number, images = 0): number {
  return templateTokens + Math.ceil(textBytes / bytesPerToken) + images * imageTokens;
}

/** Cuts text into tokens: whole characters, greedily, up to 4 bytes each. */
export function pieces(text: string): string[] {
  const found: string[] = [];
  let piece = "";
  let bytes = 0;
  for (const character of text) {
    const more = Buffer.byteLength(character);
    if (bytes + more > bytesPerToken && piece !== "") {
      found.push(piece);
      piece = "";
      bytes = 0;
    }
    piece += character;
    bytes += more;
  }
  if (piece !== "") found.push(piece);
  return found;
}

/** `count` tokens of a sentence said over and over. */
export function cycle(sentence: string, count: number): string[] {
  const once = pieces(sentence);
  return Array.from({ length: count }, (_, index) => once[index % once.length]!);
}
