/**
 * Relays a streamed answer chunk by chunk. Everything that says "complete" (a finish reason, the usage, `[DONE]`) is
 * held back until the settlement is committed: a caller who saw the end was charged exactly once.
 */
import { isUtf8 } from "node:buffer";
import type { ServerResponse } from "node:http";
import { errorBody, EpithreError } from "#shared/errors.ts";
import { createEventSplitter, type EventBatch } from "#shared/sse.ts";
import { noUsage, type Call, type Usage } from "./call.ts";
import { costFields } from "./cost.ts";
import { splice } from "./json-members.ts";
import { readEvent, type Delta } from "./stream-event.ts";
import { readUsage } from "./usage.ts";

/** Bytes of one event: a chunk of base64 audio fits, an endless line does not. */
const eventBytesMax = 1024 * 1024;
/** Bytes held back until the settlement: final events are small, many of them a fault. */
const withheldBytesMax = 4 * 1024 * 1024;

/** Events beyond the output limit that a stream may have: engines split some tokens and announce tool calls. */
const overrunFactor = 2;
const overrunSlack = 64;

export type UsageSource = "reported" | "counted" | "invalid" | "none";

/** How a stream ended, for its settlement. */
export interface StreamEnd {
  usage: Usage;
  source: UsageSource;
  /** `undefined` when the answer is complete. */
  error: EpithreError | undefined;
}

interface Withheld {
  bytes: Buffer;
  usageEnd: number | undefined;
}

export interface StreamRelay {
  /** Feeds bytes of the backend's answer. Answers `"complete"` after `[DONE]`, `"failed"` when they make no sense. */
  push(chunk: Buffer): "more" | "complete" | "failed";
  /** What to charge for when the stream ends now. */
  end(error: EpithreError | undefined): StreamEnd;
  /** Sends what was held back, the charge in its usage, and ends the response. */
  finish(chargedMicro: number): void;
  /** Ends the response with an error event, never with `[DONE]`. */
  fail(error: EpithreError): void;
}

export function createStreamRelay(call: Call, response: ServerResponse): StreamRelay {
  const { includeUsage, continuousUsage, choices, prompts } = call.inspection;
  // Engines report the tokens of one choice at a time until the last report, which is of all.
  const interleaved = choices * prompts > 1;
  const splitter = createEventSplitter(eventBytesMax);
  const withheld: Withheld[] = [];
  let withheldBytes = 0;
  /** The last usage as text: it is read once, when the stream has ended. */
  let usageText: string | undefined;
  let deltas = 0;

  function withhold(bytes: Buffer, usageEnd: number | undefined): void {
    withheldBytes += bytes.length;
    // The bytes may be part of a larger network buffer, which must not stay in memory for them.
    withheld.push({ bytes: Buffer.from(bytes), usageEnd });
  }

  /** Ranges go to the caller now; neighbours become one, so that an untouched batch is not copied. */
  function addRange(ranges: number[], start: number, end: number): void {
    if (start === end) return;
    if (ranges.length > 0 && ranges.at(-1) === start) ranges[ranges.length - 1] = end;
    else ranges.push(start, end);
  }

  function takeDelta(batch: EventBatch, start: number, end: number, delta: Delta, ranges: number[]): void {
    const { usage, final, usageOnly } = delta;
    if (usage) usageText = batch.text.slice(usage.start, usage.end);
    if (!final && !usageOnly && !delta.empty) deltas += 1;
    const keepsUsage = usage === undefined || continuousUsage || (includeUsage && usageOnly);
    if (!final && !usageOnly) {
      if (keepsUsage) addRange(ranges, start, end);
      else {
        addRange(ranges, start, usage.cutStart);
        addRange(ranges, usage.cutEnd, end);
      }
      return;
    }
    const event = batch.bytes.subarray(start, end);
    // An empty object would need no comma before the cost: it is left as it is.
    if (keepsUsage) withhold(event, usage && usage.end - usage.start > 2 ? usage.end - 1 - start : undefined);
    else if (!usageOnly) withhold(splice(event, [{ start: usage.cutStart - start, end: usage.cutEnd - start, text: "" }]), undefined);
  }

  function pushBatch(batch: EventBatch): "more" | "complete" | "failed" {
    const { bytes, text, events } = batch;
    const ranges: number[] = [];
    let state: "more" | "complete" | "failed" = "more";
    if (!isUtf8(bytes.subarray(0, events.at(-1)?.end ?? 0))) return "failed";
    for (const { start, end } of events) {
      const event = readEvent(text, start, end);
      if (event.kind === "delta") takeDelta(batch, start, end, event, ranges);
      else if (event.kind === "other") addRange(ranges, start, end);
      else if (event.kind === "done") {
        withhold(bytes.subarray(start, end), undefined);
        state = "complete";
      } else state = "failed";
      if (state !== "more") break;
    }
    const pieces: Buffer[] = [];
    for (let index = 0; index < ranges.length; index += 2) pieces.push(bytes.subarray(ranges[index], ranges[index + 1]));
    if (pieces.length > 0) response.write(joined(pieces));
    // An engine that ignores its output limit would generate for nothing.
    if (deltas > call.bounds.completionTokensMax * overrunFactor + overrunSlack) return "failed";
    return withheldBytes > withheldBytesMax ? "failed" : state;
  }

  function counted(): number {
    return Math.min(deltas, call.bounds.completionTokensMax);
  }

  return {
    push(chunk) {
      try {
        return pushBatch(splitter.push(chunk));
      } catch {
        return "failed";
      }
    },
    end(error) {
      const reported = usageText === undefined ? undefined : readReport(call, usageText);
      if (usageText !== undefined && !reported) return { usage: noUsage, source: "invalid", error };
      // Engines report the prompt before the first token: a stream that broke off there has produced nothing.
      if (reported && error && reported.completionTokens + deltas === 0) return { usage: noUsage, source: "none", error };
      if (reported && error && interleaved) {
        const completionTokens = Math.max(reported.completionTokens, counted());
        return { usage: { ...reported, completionTokens }, source: "reported", error };
      }
      if (reported) return { usage: reported, source: "reported", error };
      // A complete answer must say what it used; one that broke off is counted by its chunks. Without any report the
      // prompt's size is unknown: it is not charged for.
      if (error === undefined) return { usage: noUsage, source: "invalid", error };
      if (deltas === 0) return { usage: noUsage, source: "none", error };
      return { usage: { ...noUsage, completionTokens: counted() }, source: "counted", error };
    },
    finish(chargedMicro) {
      const cost = costFields(chargedMicro);
      response.end(
        joined(
          withheld.map(({ bytes, usageEnd }) =>
            usageEnd === undefined ? bytes : splice(bytes, [{ start: usageEnd, end: usageEnd, text: cost }]),
          ),
        ),
      );
    },
    fail(error) {
      response.end(`data: ${errorBody(error)}\n\n`);
    },
  };
}

function joined(pieces: Buffer[]): Buffer {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

/** `undefined` for a report that is no JSON or cannot be true. */
function readReport(call: Call, text: string): Usage | undefined {
  try {
    return readUsage(JSON.parse(text), call.bounds, call.model.contextTokens);
  } catch {
    return undefined;
  }
}
