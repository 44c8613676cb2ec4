/**
 * How the simulated backend behaves for one request: asked for by magic words at the start of the last user
 * message (`[[simulate tokens=200 interval_ms=50]]`), or set over `POST /simulated/behaviour`. Magic words travel
 * through any proxy, since they are part of the prompt.
 */

export const usageFaults = ["missing", "negative", "nan", "huge", "twice", "zero", "text"] as const;
export type UsageFault = (typeof usageFaults)[number];

/** What ends a request early; `after` says how many tokens come first. */
export const breaks = ["hang", "reset", "end", "error_event", "garbage"] as const;
export type Break = (typeof breaks)[number];

export interface Behaviour {
  /** Answers this HTTP status with an error of vLLM's shape. */
  status?: number;
  /** Which error text a `status=400` carries. */
  error?: "context" | "context_new";
  /** Seconds in a `retry-after` header beside `status`. */
  retry_after?: number;
  /** Tokens to generate, where the request's own limit is not lower. */
  tokens?: number;
  /** Milliseconds before each token. */
  interval_ms?: number;
  /** Milliseconds before anything is answered. */
  delay_ms?: number;
  hang?: boolean;
  reset?: boolean;
  end?: boolean;
  error_event?: boolean;
  garbage?: boolean;
  after?: number;
  usage?: UsageFault;
  /** Answers text of 2, 3 and 4 byte characters, each write ending inside one. */
  split_utf8?: boolean;
  /** Writes each token in its own turn of the event loop, as an engine does; else a burst when the interval is 0. */
  flush?: boolean;
  /** Puts the prompt into the answer, the error or the image. */
  echo?: boolean;
}

const numbers = ["status", "retry_after", "tokens", "interval_ms", "delay_ms", "after"] as const;
const flags = [...breaks, "split_utf8", "flush", "echo"] as const;

/** The largest number a behaviour may name: tokens, milliseconds or a status. */
const numberMax = 1_000_000;

const opening = "[[simulate ";

export class UnknownBehaviour extends Error {}

/** The behaviour that a prompt asks for; `undefined` when it has no magic words. Throws UnknownBehaviour. */
export function magicWords(prompt: string): Behaviour | undefined {
  if (!prompt.startsWith(opening)) return undefined;
  const end = prompt.indexOf("]]");
  if (end < 0) return undefined;
  const words = prompt.slice(opening.length, end).trim().split(/\s+/);
  return parseBehaviour(
    Object.fromEntries(
      words.map((word) => {
        const at = word.indexOf("=");
        return at < 0 ? [word, true] : [word.slice(0, at), word.slice(at + 1)];
      }),
    ),
  );
}

/** Checks names and values; a mistyped word is an error and never ignored, else a test would test nothing. */
export function parseBehaviour(words: Record<string, unknown>): Behaviour {
  const behaviour: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(words)) {
    if (includes(numbers, name)) behaviour[name] = readNumber(value);
    else if (includes(flags, name) && isTrue(value)) behaviour[name] = true;
    else if (name === "usage" && includes(usageFaults, value)) behaviour[name] = value;
    else if (name === "error" && includes(["context", "context_new"] as const, value)) behaviour[name] = value;
    else throw new UnknownBehaviour("Cannot simulate this: the README beside main.ts lists the words that are known");
  }
  return behaviour;
}

/** What breaks the answer off, if anything does. */
export function breakOf(behaviour: Behaviour): Break | undefined {
  return breaks.find((name) => behaviour[name]);
}

function readNumber(value: unknown): number {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  if (typeof number === "number" && number >= 0 && number <= numberMax) return number;
  throw new UnknownBehaviour(`Cannot simulate this: a number is between 0 and ${numberMax}`);
}

function isTrue(value: unknown): boolean {
  return value === true || value === "true";
}

function includes<Name extends string>(names: readonly Name[], value: unknown): value is Name {
  return names.includes(value as Name);
}
