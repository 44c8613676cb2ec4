/**
 * Server-sent events (WHATWG HTML, section 9.2), split from bytes. Text is read as Latin-1, in which every byte is one
 * character: positions in the text are positions in the bytes, searching it is fast, and nothing is decoded.
 */

/** Whole events in a piece of a stream: `events` are ranges of `bytes`, each with the blank line that ends it. */
export interface EventBatch {
  bytes: Buffer;
  /** The same as Latin-1. */
  text: string;
  events: { start: number; end: number }[];
}

export interface EventSplitter {
  /** Throws RangeError when an event exceeds the limit: an endless line must not fill the memory. */
  push(chunk: Buffer): EventBatch;
  /** Bytes of an event that has not ended. */
  readonly pendingBytes: number;
}

export function createEventSplitter(eventBytesMax: number): EventSplitter {
  let pending: Buffer | undefined;
  return {
    push(chunk) {
      // A blank line can start in the last bytes of what came before.
      const searchFrom = pending ? Math.max(0, pending.length - 3) : 0;
      const bytes = pending ? Buffer.concat([pending, chunk]) : chunk;
      const text = bytes.toString("latin1");
      const events: EventBatch["events"] = [];
      let start = 0;
      let end = eventEnd(text, searchFrom);
      while (end > 0) {
        events.push({ start, end });
        start = end;
        end = eventEnd(text, start);
      }
      if (bytes.length - start > eventBytesMax) throw new RangeError("event too long");
      pending = start < bytes.length ? bytes.subarray(start) : undefined;
      return { bytes, text, events };
    },
    get pendingBytes() {
      return pending?.length ?? 0;
    },
  };
}

/** One past the blank line that ends the event at `from`, or -1 when it has not ended. */
function eventEnd(text: string, from: number): number {
  let at = text.indexOf("\n", from);
  while (at >= 0) {
    if (text[at + 1] === "\n") return at + 2;
    if (text[at + 1] === "\r" && text[at + 2] === "\n") return at + 3;
    at = text.indexOf("\n", at + 1);
  }
  return -1;
}

/** Where the data of the event in `[start, end)` stands: its only data line, `"none"` or `"several"`. */
export function dataRange(text: string, start: number, end: number): { start: number; end: number } | "none" | "several" {
  let found: { start: number; end: number } | undefined;
  for (let at = start; at < end; ) {
    const lineEnd = text.indexOf("\n", at);
    if (text.startsWith("data:", at)) {
      if (found) return "several";
      const value = at + (text[at + 5] === " " ? 6 : 5);
      found = { start: value, end: text[lineEnd - 1] === "\r" ? lineEnd - 1 : lineEnd };
    }
    at = lineEnd + 1;
  }
  return found ?? "none";
}
