/**
 * Relays a streamed answer chunk by chunk. Everything that says "complete" (a finish reason, the usage, `[DONE]`) is
 * held back until the settlement is committed: a caller who saw the end was charged exactly once.
 */
import type { ServerResponse } from "node:http";
import { errorBody, EpithreError } from "#shared/errors.ts";
import { splice } from "./json-members.ts";
import { createEventSplitter } from "#shared/sse.ts";
import { noUsage, type Call, type Usage } from "./call.ts";
import { costFields } from "./cost.ts";
import { readEvent, withCost, type Delta } from "./stream-event.ts";
import { readUsage } from "./usage.ts";

/** Bytes of one event: a chunk of base64 audio fits, an endless line does not. */
const eventBytesMax = 1024 * 1024;
/** Bytes held back until the settlement: final events are small, many of them a fault. */
const withheldBytesMax = 4 * 1024 * 1024;

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
  let reported: Usage | undefined;
  let invalid = false;
  let deltas = 0;

  function note(event: Delta): void {
    if (event.usage !== undefined && event.usage !== null) {
      const usage = readUsage(event.usage, call.bounds, call.model.contextTokens);
      // A report that cannot be true spoils the request: nothing it says later can be trusted to be money.
      invalid ||= usage === undefined || (!interleaved && goesBack(reported, usage));
      reported = usage ?? reported;
    }
    if (!event.final && !event.usageOnly) deltas += 1;
  }

  function withhold(bytes: Buffer, usageEnd: number | undefined): void {
    withheldBytes += bytes.length;
    // The bytes may be part of a larger network buffer, which must not stay in memory for them.
    withheld.push({ bytes: Buffer.from(bytes), usageEnd });
  }

  /** The bytes of an event that the caller gets now. */
  function relayed(event: Buffer): Buffer | undefined | "complete" | "failed" {
    const read = readEvent(event);
    if (read.kind === "other") return event;
    if (read.kind === "failure") return "failed";
    if (read.kind === "done") {
      withhold(event, undefined);
      return "complete";
    }
    note(read);
    const keepsUsage = continuousUsage || (includeUsage && read.usageOnly);
    if (read.usageOnly) {
      if (keepsUsage) withhold(event, read.usageEnd);
      return undefined;
    }
    const bytes = keepsUsage ? event : splice(event, read.withoutUsage);
    if (!read.final) return bytes;
    withhold(bytes, undefined);
    return undefined;
  }

  function send(pieces: Buffer[]): void {
    if (pieces.length === 1) response.write(pieces[0]);
    else if (pieces.length > 1) response.write(Buffer.concat(pieces));
  }

  function counted(): Usage {
    const completionTokens = Math.min(deltas, call.bounds.completionTokensMax);
    // Without any report the prompt's size is unknown: it is not charged for.
    return { ...noUsage, completionTokens };
  }

  return {
    push(chunk) {
      const pieces: Buffer[] = [];
      try {
        for (const event of splitter.push(chunk)) {
          const result = relayed(event);
          if (result === "complete" || result === "failed") {
            send(pieces);
            return result;
          }
          if (result) pieces.push(result);
        }
      } catch {
        send(pieces);
        return "failed";
      }
      send(pieces);
      return withheldBytes > withheldBytesMax ? "failed" : "more";
    },
    end(error) {
      if (invalid) return { usage: noUsage, source: "invalid", error };
      if (reported && error && interleaved) {
        const completionTokens = Math.max(reported.completionTokens, counted().completionTokens);
        return { usage: { ...reported, completionTokens }, source: "reported", error };
      }
      if (reported) return { usage: reported, source: "reported", error };
      // A complete answer must say what it used; one that broke off is counted by its chunks.
      if (error === undefined) return { usage: noUsage, source: "invalid", error };
      return deltas === 0 ? { usage: noUsage, source: "none", error } : { usage: counted(), source: "counted", error };
    },
    finish(chargedMicro) {
      send(
        withheld.map(({ bytes, usageEnd }) =>
          usageEnd === undefined ? bytes : withCost(bytes, usageEnd, costFields(chargedMicro)),
        ),
      );
      response.end();
    },
    fail(error) {
      response.end(`data: ${errorBody(error)}\n\n`);
    },
  };
}

/** A later report counts the same tokens and more. */
function goesBack(before: Usage | undefined, after: Usage): boolean {
  return before !== undefined && (after.completionTokens < before.completionTokens || after.promptTokens < before.promptTokens);
}
