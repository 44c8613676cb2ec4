/** Writes one answer: whole or streamed, at its pace, until it ends, breaks as asked, or the caller leaves. */
import type { ServerResponse } from "node:http";
import { doneEvent, type Events } from "./answers.ts";
import { breakOf, type Behaviour, type Break } from "./behaviour.ts";
import type { ModelCounts } from "./counts.ts";
import { tokensOf, type Generation } from "./generation.ts";
import { errorJson, type Refusal } from "./refusal.ts";

/** Tokens up to which a stream without pace is written at once; a longer one goes by back-pressure. */
const burstTokensMax = 256;

/** Milliseconds between the last written byte and a simulated reset, so that the bytes have arrived. */
const resetAfterMs = 20;

const jsonHeaders = ["content-type", "application/json", "x-simulated-backend", "true"];
const textHeaders = ["content-type", "text/plain; version=0.0.4; charset=utf-8", "x-simulated-backend", "true"];
const streamHeaders = ["content-type", "text/event-stream; charset=utf-8", "x-simulated-backend", "true"];

export type Tally = ModelCounts & { open: number };

export interface Work {
  promptTokens: number;
  completionTokens: number;
  images: number;
}

export interface Reply {
  json(status: number, body: string): void;
  text(status: number, body: string): void;
  error(refusal: Refusal & { retryAfterS?: number }): void;
  /** Counts this request, and what becomes of it, in `tally`. */
  countFor(tally: Tally): void;
  whole(work: Work, body: () => string, behaviour: Behaviour): void;
  stream(generation: Generation, events: Events, behaviour: Behaviour): void;
  /** The caller broke off while sending. */
  left(): void;
}

export function createReply(response: ServerResponse): Reply {
  let tally: Tally | undefined;
  /** Tokens of this request that the tally already has, for the part that an abort adds. */
  let prompt = 0;
  let completion = 0;

  function settle(outcome: "completed" | "aborted" | "failed"): void {
    if (!tally) return;
    tally.open -= 1;
    tally[outcome] += 1;
    if (outcome === "aborted") {
      tally.abortedPromptTokens += prompt;
      tally.abortedCompletionTokens += completion;
    }
    tally = undefined;
  }

  function produced(work: Partial<Work>): void {
    if (!tally) return;
    prompt += work.promptTokens ?? 0;
    completion += work.completionTokens ?? 0;
    tally.promptTokens += work.promptTokens ?? 0;
    tally.completionTokens += work.completionTokens ?? 0;
    tally.images += work.images ?? 0;
  }

  function send(status: number, headers: string[], body: string): void {
    response.writeHead(status, [...headers, "content-length", String(Buffer.byteLength(body))]);
    response.end(body);
  }

  const reply: Reply = {
    json: (status, body) => send(status, jsonHeaders, body),
    text: (status, body) => send(status, textHeaders, body),
    error(refusal) {
      settle("failed");
      const retry = refusal.retryAfterS === undefined ? [] : ["retry-after", String(refusal.retryAfterS)];
      send(refusal.status, [...jsonHeaders, ...retry], errorJson(refusal));
    },
    countFor(counted) {
      tally = counted;
      tally.requests += 1;
      tally.open += 1;
      response.once("close", () => settle(response.writableFinished ? "completed" : "aborted"));
    },
    left: () => settle("aborted"),

    whole(work, body, behaviour) {
      produced({ promptTokens: work.promptTokens });
      const { interval_ms: intervalMs = 0, delay_ms: delayMs = 0, after } = behaviour;
      const broken = breakOf(behaviour);
      const answer = () => {
        if (broken && after === undefined) return breakOff(broken);
        const text = body();
        produced({ completionTokens: work.completionTokens - completion, images: work.images });
        if (!broken) return send(200, jsonHeaders, text);
        // Half of the body arrives, whatever `after` says: a JSON answer has no tokens to count on the wire.
        const bytes = Buffer.from(text);
        response.writeHead(200, [...jsonHeaders, "content-length", String(bytes.length)]);
        response.write(bytes.subarray(0, bytes.length >> 1), () => breakOff(broken, true));
      };
      const generating = () => {
        if (!tally) return;
        if (intervalMs === 0 || completion >= work.completionTokens) return answer();
        produced({ completionTokens: 1 });
        setTimeout(generating, intervalMs);
      };
      if (delayMs > 0) setTimeout(generating, delayMs);
      else generating();
    },

    stream(generation, events, behaviour) {
      produced({ promptTokens: generation.promptTokens });
      const { delay_ms: delayMs = 0 } = behaviour;
      const start = () => {
        if (!tally) return;
        const broken = breakOf(behaviour);
        if (broken && behaviour.after === undefined) return breakOff(broken);
        response.writeHead(200, streamHeaders);
        if (isPlain(behaviour) && generation.completionTokens <= burstTokensMax) burst(generation, events);
        else pace(generation, events, behaviour, broken);
      };
      if (delayMs > 0) setTimeout(start, delayMs);
      else start();
    },
  };

  /** All events in one write. */
  function burst(generation: Generation, events: Events): void {
    let text = events.opening();
    for (const [choice, at] of tokenOrder(generation)) text += events.token(choice, at);
    produced({ completionTokens: generation.completionTokens });
    response.end(text + events.closing());
  }

  function pace(generation: Generation, events: Events, behaviour: Behaviour, broken: Break | undefined): void {
    const { interval_ms: intervalMs = 0, after = 0, flush = false, split_utf8: split = false } = behaviour;
    const order = tokenOrder(generation);
    const writer = split ? createSplitWriter(response) : response;
    writer.write(events.opening());
    const step = () => {
      while (tally) {
        if (broken && completion >= after) return void response.write("", () => breakOff(broken));
        const { value, done } = order.next();
        if (done) return void writer.end(events.closing());
        const room = writer.write(events.token(value[0], value[1]));
        produced({ completionTokens: 1 });
        if (intervalMs > 0) return void setTimeout(step, intervalMs);
        if (!room) return void response.once("drain", step);
        if (flush || split) return void setImmediate(step);
      }
    };
    if (intervalMs > 0) setTimeout(step, intervalMs);
    else step();
  }

  /** `lengthPromised`: a body of known length is half written, so only its connection's end can end it. */
  function breakOff(how: Break, lengthPromised = false): void {
    if (how === "hang") return;
    if (how === "reset") {
      settle("failed");
      setTimeout(() => response.socket?.resetAndDestroy(), resetAfterMs);
      return;
    }
    settle("failed");
    if (!response.headersSent) return send(...brokenWhole[how]);
    if (lengthPromised) response.socket?.end();
    else response.end(brokenStream[how]);
  }

  return reply;
}

const simulatedFailure = errorJson({ status: 500, message: "Simulated failure of the engine", param: null });

const brokenWhole: Record<"end" | "error_event" | "garbage", [status: number, headers: string[], body: string]> = {
  end: [200, jsonHeaders, ""],
  error_event: [500, jsonHeaders, simulatedFailure],
  garbage: [200, jsonHeaders, '{"simulated":'],
};

const brokenStream = {
  end: "",
  error_event: `data: ${simulatedFailure}\n\n${doneEvent}`,
  garbage: `data: {"simulated":\n\n${doneEvent}`,
};

/** Writes so that each write ends inside a character of several bytes, where the text has one. */
function createSplitWriter(response: ServerResponse) {
  let held: Uint8Array = Buffer.alloc(0);
  return {
    write(text: string): boolean {
      const bytes = Buffer.concat([held, Buffer.from(text)]);
      const lead = bytes.findLastIndex((byte) => byte >= 0xc0);
      const end = lead < 0 ? bytes.length : lead + 1;
      held = bytes.subarray(end);
      return response.write(bytes.subarray(0, end));
    },
    end: (text: string) => response.end(Buffer.concat([held, Buffer.from(text)])),
  };
}

function isPlain({ interval_ms: intervalMs = 0, flush, split_utf8: split, ...rest }: Behaviour): boolean {
  return intervalMs === 0 && !flush && !split && breakOf(rest) === undefined;
}

/** Choice and position of each token: the first of every choice, then the second, as a batch is generated. */
function* tokenOrder({ choices }: Generation): Generator<[choice: number, at: number]> {
  const counts = choices.map(tokensOf);
  for (let at = 0; at < Math.max(...counts); at += 1) {
    for (let choice = 0; choice < counts.length; choice += 1) {
      if (at < counts[choice]!) yield [choice, at];
    }
  }
}
