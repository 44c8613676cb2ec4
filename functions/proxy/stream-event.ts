/** One event of a streamed answer: what metering must know of it, found without keeping or decoding its content. */
import { isUtf8 } from "node:buffer";
import { dataRange } from "#shared/sse.ts";
import { membersOf, splice, type Edit } from "./json-members.ts";

const done = Buffer.from("[DONE]");
const usageKey = Buffer.from('"usage":');
const finishKey = Buffer.from('"finish_reason":');
const errorStart = Buffer.from('{"error"');
const emptyChoices = /"choices":\s*\[\s*\]/;
const quote = 0x22;
const space = 0x20;
const openBrace = 0x7b;

export type StreamEvent =
  /** A comment or another line without data: relayed as it is. */
  | { kind: "other" }
  | { kind: "done" }
  /** The engine reports a failure, or sends what is no text at all. */
  | { kind: "failure" }
  | Delta;

export interface Delta {
  kind: "delta";
  /** Says that an answer is complete; it waits for the settlement. */
  final: boolean;
  /** The parsed usage, when the event has one. */
  usage: unknown;
  /** Nothing but usage: the event that `include_usage` asks for. */
  usageOnly: boolean;
  /** Cuts the usage out again. */
  withoutUsage: Edit[];
  /** Where a usage object ends, for adding the cost to it. */
  usageEnd: number | undefined;
}

const plainDelta: Delta = {
  kind: "delta",
  final: false,
  usage: undefined,
  usageOnly: false,
  withoutUsage: [],
  usageEnd: undefined,
};

/**
 * The keys looked for cannot stand inside a JSON string: their quotes would be escaped there, which puts a backslash
 * between the last letter and the quote.
 */
export function readEvent(event: Buffer): StreamEvent {
  const range = dataRange(event);
  if (!range) return { kind: event.includes("data:") ? "failure" : "other" };
  const { start, end } = range;
  if (end - start === done.length && done.compare(event, start, end) === 0) return { kind: "done" };
  if (!isUtf8(event) || event.indexOf(errorStart, start) === start) return { kind: "failure" };
  const final = isFinal(event, start);
  const usageAt = event.lastIndexOf(usageKey, end);
  if (usageAt < start) return final ? { ...plainDelta, final } : plainDelta;
  return readUsageEvent(event, start, usageAt, final);
}

/** Some choice has a finish reason other than null. */
function isFinal(event: Buffer, start: number): boolean {
  let at = event.indexOf(finishKey, start);
  while (at >= 0) {
    let value = at + finishKey.length;
    while (event[value] === space) value += 1;
    if (event[value] === quote) return true;
    at = event.indexOf(finishKey, value);
  }
  return false;
}

function readUsageEvent(event: Buffer, start: number, usageAt: number, final: boolean): StreamEvent {
  let value = usageAt + usageKey.length;
  while (event[value] === space) value += 1;
  if (event[value] !== openBrace) return { ...plainDelta, final };
  try {
    const { members } = membersOf(event, start);
    const index = members.findIndex((member) => member.key === "usage");
    const member = members[index];
    if (!member) return { ...plainDelta, final };
    const before = members[index - 1];
    const after = members[index + 1];
    const cut = before
      ? { start: before.valueEnd, end: member.valueEnd, text: "" }
      : { start: member.keyStart, end: after?.keyStart ?? member.valueEnd, text: "" };
    return {
      kind: "delta",
      final,
      usage: JSON.parse(event.toString("utf8", member.valueStart, member.valueEnd)),
      usageOnly: emptyChoices.test(event.toString("latin1", start, usageAt)) || emptyChoices.test(event.toString("latin1", member.valueEnd)),
      withoutUsage: [cut],
      usageEnd: member.valueEnd - 1,
    };
  } catch {
    return { kind: "failure" };
  }
}

/** The event with what it cost added to its usage, in rupiah and as the exact integer. */
export function withCost(bytes: Buffer, usageEnd: number, cost: string): Buffer {
  return splice(bytes, [{ start: usageEnd, end: usageEnd, text: cost }]);
}
