/** Calls as raw HTTP, for tests that send many and must know exactly what each caller was told. */
import { Agent, request, type Dispatcher } from "undici";

/** What the caller of one request saw. */
export interface Outcome {
  /** From `x-request-id`; undefined when the caller left before the head of the answer. */
  requestId: string | undefined;
  status: number | undefined;
  /** A whole JSON answer or a stream up to `[DONE]`. */
  complete: boolean;
  /** Of an error answer, or of an error event in a stream. */
  errorCode: string | undefined;
  usage: Usage | undefined;
  /** Events of a stream that carried content. */
  deltas: number;
  startedAtMs: number;
  endedAtMs: number;
  retryAfter: string | undefined;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cost_micro_rupiah: number;
}

export interface Send {
  url: string;
  key: string;
  path?: string;
  body: Record<string, unknown> | FormData;
  headers?: Record<string, string>;
  dispatcher?: Dispatcher;
  /** Leaves a stream after this many events with content. */
  leaveAfterDeltas?: number;
  /** Leaves after this many milliseconds, answer or not. */
  leaveAfterMs?: number;
}

/** Never throws: what a caller meets is an outcome. */
export async function send({ url, key, path = "/v1/chat/completions", body, headers, dispatcher, leaveAfterDeltas, leaveAfterMs }: Send): Promise<Outcome> {
  const leaving = new AbortController();
  const timer = leaveAfterMs === undefined ? undefined : setTimeout(() => leaving.abort(), leaveAfterMs);
  const outcome: Outcome = {
    requestId: undefined,
    status: undefined,
    complete: false,
    errorCode: undefined,
    usage: undefined,
    deltas: 0,
    startedAtMs: performance.now(),
    endedAtMs: 0,
    retryAfter: undefined,
  };
  try {
    const isForm = body instanceof FormData;
    const response = await request(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, ...(isForm ? {} : { "content-type": "application/json" }), ...headers },
      body: (isForm ? body : JSON.stringify(body)) as string,
      signal: leaving.signal,
      ...(dispatcher ? { dispatcher } : {}),
    });
    outcome.requestId = response.headers["x-request-id"] as string | undefined;
    outcome.retryAfter = response.headers["retry-after"] as string | undefined;
    outcome.status = response.statusCode;
    if (response.headers["content-type"] === "text/event-stream") {
      await readStream(response.body, outcome, leaveAfterDeltas, leaving);
    } else {
      const answer = (await response.body.json()) as { error?: { code: string }; usage?: Usage };
      outcome.errorCode = answer.error?.code;
      outcome.usage = answer.usage;
      outcome.complete = response.statusCode === 200;
    }
  } catch {
    // The caller left, or the connection broke: what was seen until then is the outcome.
  }
  clearTimeout(timer);
  outcome.endedAtMs = performance.now();
  return outcome;
}

async function readStream(body: AsyncIterable<Uint8Array>, outcome: Outcome, leaveAfter: number | undefined, leaving: AbortController): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    const events = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = events.pop()!;
    for (const event of events) readEvent(event, outcome);
    if (leaveAfter !== undefined && outcome.deltas >= leaveAfter) leaving.abort();
  }
}

function readEvent(event: string, outcome: Outcome): void {
  if (event === "data: [DONE]") outcome.complete = true;
  if (!event.startsWith("data: {")) return;
  const value = JSON.parse(event.slice(6)) as { error?: { code: string }; usage?: Usage; choices?: { delta?: { content?: string } }[] };
  outcome.errorCode ??= value.error?.code;
  outcome.usage = value.usage ?? outcome.usage;
  if (value.choices?.some((choice) => choice.delta?.content)) outcome.deltas += 1;
}

/** Runs `work` for each item, `width` of them at once. */
export async function inParallel<Item, Result>(items: readonly Item[], width: number, work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at]!);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

export interface Load {
  outcomes: Outcome[];
  stop(): Promise<Outcome[]>;
}

/** Keeps `width` callers calling, each as soon as its last call ended, until stopped. */
export function startLoad(width: number, next: () => Send): Load {
  const outcomes: Outcome[] = [];
  let stopped = false;
  const dispatcher = new Agent({ connections: width });
  const caller = async () => {
    while (!stopped) outcomes.push(await send({ dispatcher, ...next() }));
  };
  const callers = Array.from({ length: width }, caller);
  return {
    outcomes,
    async stop() {
      stopped = true;
      await Promise.all(callers);
      await dispatcher.close();
      return outcomes;
    },
  };
}

/** A chat with one user message. */
export function chatBody(content: string, more: object = {}): Record<string, unknown> {
  return { model: "simulated-chat", messages: [{ role: "user", content }], ...more };
}
