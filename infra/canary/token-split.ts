/**
 * A word in pieces, as a list of tokens or a stream of events would hold it: each piece near the one before. Tokenizers
 * cut anywhere, so no lengths are assumed. It also finds a word that compression or a page of a file cut in two.
 */

/** Bytes between the pieces of a list: `","`, or `", "`. */
const nearBytes = 8;

/** Bytes from one piece to the next in a stream, each with an event around it. */
const farBytes = 512;

/** `core` has letters that are rare around it. A word that is whole is not split. */
export function isSplit(core: string, bytes: Buffer): boolean {
  for (let at = bytes.indexOf(core[0]!); at >= 0; at = bytes.indexOf(core[0]!, at + 1)) {
    if (piecesFrom(core, bytes, at) > 1) return true;
  }
  return false;
}

/** How many pieces the word has that begins here; 0 where it does not go on to its end. */
function piecesFrom(core: string, bytes: Buffer, start: number): number {
  let at = start + 1;
  let pieces = 1;
  for (let next = 1; next < core.length; next += 1) {
    if (bytes[at] !== core.charCodeAt(next)) {
      at = nextPiece(core, next, bytes, at);
      if (at < 0) return 0;
      pieces += 1;
    }
    at += 1;
  }
  return pieces;
}

/** Where the rest of the word goes on: nearby with any letter, further away with two of them, or one in quotes. */
function nextPiece(core: string, next: number, bytes: Buffer, from: number): number {
  const near = indexWithin(bytes, core[next]!, from, nearBytes);
  if (near >= 0) return near;
  const pair = indexWithin(bytes, core.slice(next, next + 2), from, farBytes);
  const quoted = indexWithin(bytes, `"${core[next]}"`, from, farBytes);
  if (quoted < 0 || (pair >= 0 && pair < quoted)) return pair;
  return quoted + 1;
}

function indexWithin(bytes: Buffer, text: string, from: number, length: number): number {
  const at = bytes.subarray(from, from + length).indexOf(text);
  return at < 0 ? -1 : from + at;
}
