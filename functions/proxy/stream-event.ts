/** One event of a streamed answer: what metering must know of it, found without keeping or decoding its content. */
import { dataRange } from "#shared/sse.ts";

export type StreamEvent =
  /** A comment or another line without data: relayed as it is. */
  | { kind: "other" }
  | { kind: "done" }
  /** The engine reports a failure, or sends what cannot be read. */
  | { kind: "failure" }
  | Delta;

export interface Delta {
  kind: "delta";
  /** Says that an answer is complete; it waits for the settlement. */
  final: boolean;
  /** Brings no text and no tool call: the opening event of a choice, which says who speaks. */
  empty: boolean;
  /** Nothing but usage: the event that `include_usage` asks for. */
  usageOnly: boolean;
  /** Where the usage stands, when the event has one: its object, and what to cut to take the member out again. */
  usage: { start: number; end: number; cutStart: number; cutEnd: number } | undefined;
}

const other: StreamEvent = { kind: "other" };
const done: StreamEvent = { kind: "done" };
const failure: StreamEvent = { kind: "failure" };
const plainDelta: Delta = { kind: "delta", final: false, empty: false, usageOnly: false, usage: undefined };
const emptyDelta: Delta = { ...plainDelta, empty: true };

/**
 * Reads the event in `[start, end)` of a stream's Latin-1 text.
 *
 * The keys looked for cannot stand inside a JSON string: their quotes would be escaped there, which puts a backslash
 * between the last letter and the quote.
 */
export function readEvent(text: string, start: number, end: number): StreamEvent {
  const data = dataRange(text, start, end);
  if (data === "none") return other;
  if (data === "several") return failure;
  if (data.end - data.start === 6 && text.startsWith("[DONE]", data.start)) return done;
  if (text[data.start] !== "{" || text[data.end - 1] !== "}" || text.startsWith('{"error"', data.start)) return failure;
  const event = text.slice(data.start, data.end);
  const final = isFinal(event);
  const delta = isEmpty(event) ? emptyDelta : plainDelta;
  const usageAt = event.lastIndexOf('"usage":');
  if (usageAt < 0) return final ? { ...delta, final } : delta;
  return readUsageEvent(event, data.start, usageAt, { ...delta, final });
}

/** What a model can generate besides content: reasoning, and calls of tools or functions. */
const otherOutput = /"reasoning(?:_content)?":\s*"[^"]|"tool_calls":\s*\[\s*\{|"function_call":\s*\{/;

function isEmpty(event: string): boolean {
  return ['"content":""', '"content":null', '"text":""'].some((empty) => event.includes(empty)) && !otherOutput.test(event);
}

/** Some choice has a finish reason other than null. */
function isFinal(event: string): boolean {
  let at = event.indexOf('"finish_reason":');
  while (at >= 0) {
    at = skipSpace(event, at + '"finish_reason":'.length);
    if (event[at] === '"') return true;
    at = event.indexOf('"finish_reason":', at);
  }
  return false;
}

function skipSpace(event: string, from: number): number {
  let at = from;
  while (event[at] === " ") at += 1;
  return at;
}

/** `offset` is where the event's data stands in the stream's text. */
function readUsageEvent(event: string, offset: number, usageAt: number, delta: Delta): StreamEvent {
  const value = skipSpace(event, usageAt + '"usage":'.length);
  if (event[value] !== "{") return delta;
  const valueEnd = endOfNumbers(event, value);
  if (valueEnd < 0) return failure;
  const emptyChoices = event.indexOf('"choices":[]') >= 0 || event.indexOf('"choices": []') >= 0;
  // The comma goes with it: the one before, or, for a first member, the one behind.
  const before = event.lastIndexOf(",", usageAt);
  const isFirst = event.slice(before + 1, usageAt).trim() !== "";
  const behind = event.indexOf(",", valueEnd);
  return {
    ...delta,
    usageOnly: emptyChoices,
    usage: {
      start: offset + value,
      end: offset + valueEnd,
      cutStart: offset + (isFirst ? usageAt : before),
      cutEnd: offset + (isFirst && behind >= 0 ? behind + 1 : valueEnd),
    },
  };
}

/** One past the object of numbers, nulls and such objects that starts at `from`; -1 when it is something else. */
function endOfNumbers(event: string, from: number): number {
  let depth = 0;
  for (let at = from; at < event.length; at += 1) {
    if (event[at] === "{") depth += 1;
    else if (event[at] === "}") {
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (event[at] === "\\") return -1;
  }
  return -1;
}
