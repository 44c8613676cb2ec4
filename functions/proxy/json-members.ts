/**
 * Where the members of a JSON object stand in its bytes. Bodies are edited by splicing bytes, never by
 * re-serialising: a 64-bit seed or a float would not survive that.
 *
 * This only finds boundaries: whether the text is valid JSON is for JSON.parse to say.
 */

/** Members of one object: OpenAI's API has fewer than a hundred; more of them cost more to edit than to forward. */
const membersMax = 1_000;

export interface Member {
  /** The key with its escapes resolved. */
  key: string;
  keyStart: number;
  valueStart: number;
  /** One past the last byte of the value. */
  valueEnd: number;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;
const colon = 0x3a;

/**
 * The members of the object that starts at `start`, in order; and one past its closing brace. Throws RangeError where
 * there is no object, or too many members.
 */
export function membersOf(bytes: Buffer, start = 0): { members: Member[]; end: number } {
  const members: Member[] = [];
  let at = skipSpace(bytes, start) + 1;
  for (;;) {
    at = skipSpace(bytes, at);
    if (bytes[at] === closeBrace) return { members, end: at + 1 };
    if (bytes[at] === comma) {
      at += 1;
      continue;
    }
    if (bytes[at] !== quote || members.length === membersMax) throw new RangeError("not an object, or too many members");
    const keyStart = at;
    const keyEnd = endOfString(bytes, keyStart);
    const colonAt = skipSpace(bytes, keyEnd);
    if (bytes[colonAt] !== colon) throw new RangeError("not an object");
    const valueStart = skipSpace(bytes, colonAt + 1);
    const valueEnd = endOfValue(bytes, valueStart);
    members.push({ key: readKey(bytes, keyStart, keyEnd), keyStart, valueStart, valueEnd });
    at = valueEnd;
  }
}

function readKey(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("latin1", start + 1, end - 1);
  return /^[\x20-\x5b\x5d-\x7e]*$/.test(text) ? text : (JSON.parse(bytes.toString("utf8", start, end)) as string);
}

function skipSpace(bytes: Buffer, at: number): number {
  let position = at;
  while (bytes[position] === 0x20 || bytes[position] === 0x0a || bytes[position] === 0x0d || bytes[position] === 0x09) {
    position += 1;
  }
  return position;
}

/** One past the closing quote of the string that starts at `start`. */
function endOfString(bytes: Buffer, start: number): number {
  let end = start;
  for (;;) {
    end = bytes.indexOf(quote, end + 1);
    if (end < 0) throw new RangeError("string without an end");
    let escapes = 0;
    while (bytes[end - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
}

function endOfValue(bytes: Buffer, start: number): number {
  const first = bytes[start];
  if (first === quote) return endOfString(bytes, start);
  if (first === openBrace || first === openBracket) return endOfContainer(bytes, start);
  let end = start;
  while (end < bytes.length && !isAfterScalar(bytes[end]!)) end += 1;
  return end;
}

function isAfterScalar(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || byte <= 0x20;
}

function endOfContainer(bytes: Buffer, start: number): number {
  let depth = 0;
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === quote) {
      at = endOfString(bytes, at);
      continue;
    }
    if (byte === openBrace || byte === openBracket) depth += 1;
    else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
    at += 1;
  }
  throw new RangeError("container without an end");
}

/** A replacement of `bytes[start, end)`; insertions have `start === end`. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** Applies edits that do not overlap; every byte outside them stays as it came. */
export function splice(bytes: Buffer, edits: Edit[]): Buffer {
  if (edits.length === 0) return bytes;
  const ordered = edits.length === 1 ? edits : [...edits].sort((one, other) => one.start - other.start);
  let length = bytes.length;
  for (const { start, end, text } of ordered) length += Buffer.byteLength(text) - (end - start);
  const spliced = Buffer.allocUnsafe(length);
  let from = 0;
  let to = 0;
  for (const { start, end, text } of ordered) {
    to += bytes.copy(spliced, to, from, start);
    to += spliced.write(text, to);
    from = end;
  }
  bytes.copy(spliced, to, from);
  return spliced;
}

/**
 * Edits that drop the members whose index is in `dropped`, and append `added` (`"key":value` texts) after the last
 * one that stays. Separating commas come out right whichever members go.
 */
export function editMembers(
  { members, end }: { members: Member[]; end: number },
  dropped: ReadonlySet<number>,
  added: string[],
): Edit[] {
  const edits: Edit[] = [];
  let kept = 0;
  for (const [index, member] of members.entries()) {
    const next = members[index + 1];
    if (!dropped.has(index)) {
      kept += 1;
      continue;
    }
    if (next) edits.push({ start: member.keyStart, end: next.keyStart, text: "" });
    else edits.push({ start: lastKeptEnd(members, dropped) ?? member.keyStart, end: member.valueEnd, text: "" });
  }
  const merged = mergeTail(edits);
  if (added.length > 0) {
    merged.push({ start: end - 1, end: end - 1, text: (kept > 0 ? "," : "") + added.join(",") });
  }
  return merged;
}

/** Where the last member that stays ends: the comma behind it goes with the dropped tail. */
function lastKeptEnd(members: Member[], dropped: ReadonlySet<number>): number | undefined {
  for (let index = members.length - 1; index >= 0; index -= 1) {
    if (!dropped.has(index)) return members[index]!.valueEnd;
  }
  return undefined;
}

/** A dropped tail is one edit from the last kept member on; edits inside it are covered by it. */
function mergeTail(edits: Edit[]): Edit[] {
  const tail = edits.at(-1);
  if (!tail) return edits;
  return [...edits.slice(0, -1).filter((edit) => edit.start < tail.start), tail];
}
