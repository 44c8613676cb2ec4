/** Server-sent events (WHATWG HTML, section 9.2), split from bytes without decoding them. */

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const dataField = Buffer.from("data:");

/** Takes bytes as they come and hands out whole events, each with the blank line that ends it. */
export interface EventSplitter {
  /** Throws RangeError when an event exceeds the limit: an endless line must not fill the memory. */
  push(chunk: Buffer): Buffer[];
  /** Bytes of an event that has not ended. */
  readonly pendingBytes: number;
}

export function createEventSplitter(eventBytesMax: number): EventSplitter {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  return {
    push(chunk) {
      // A blank line can start in the last two bytes of what came before.
      const joined = pendingBytes > 0 ? Buffer.concat([...pending, chunk]) : chunk;
      const from = Math.max(0, pendingBytes - 3);
      const events: Buffer[] = [];
      let start = 0;
      let end = eventEnd(joined, from);
      while (end > 0) {
        events.push(joined.subarray(start, end));
        start = end;
        end = eventEnd(joined, start);
      }
      pendingBytes = joined.length - start;
      if (pendingBytes > eventBytesMax) throw new RangeError("event too long");
      pending = pendingBytes > 0 ? [joined.subarray(start)] : [];
      return events;
    },
    get pendingBytes() {
      return pendingBytes;
    },
  };
}

/** One past the blank line that ends the event at `from`, or -1 when it has not ended. */
function eventEnd(bytes: Buffer, from: number): number {
  let at = bytes.indexOf(lineFeed, from);
  while (at >= 0) {
    if (bytes[at + 1] === lineFeed) return at + 2;
    if (bytes[at + 1] === carriageReturn && bytes[at + 2] === lineFeed) return at + 3;
    at = bytes.indexOf(lineFeed, at + 1);
  }
  return -1;
}

/** Where an event's data stands: `[start, end)` of its only data line, or `undefined` when it has none or several. */
export function dataRange(event: Buffer): { start: number; end: number } | undefined {
  let found: { start: number; end: number } | undefined;
  let at = 0;
  while (at < event.length) {
    const lineEnd = event.indexOf(lineFeed, at);
    if (isDataLine(event, at)) {
      if (found) return undefined;
      let start = at + dataField.length;
      if (event[start] === space) start += 1;
      found = { start, end: event[lineEnd - 1] === carriageReturn ? lineEnd - 1 : lineEnd };
    }
    at = lineEnd + 1;
  }
  return found;
}

function isDataLine(event: Buffer, at: number): boolean {
  for (let index = 0; index < dataField.length; index += 1) if (event[at + index] !== dataField[index]) return false;
  return true;
}
