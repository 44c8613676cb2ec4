/** What a chat or completion request makes the simulated engine generate, decided before the first byte. */
import { magicWords, type Behaviour } from "./behaviour.ts";
import { instanceOf } from "./json-schema.ts";
import { type SimulatedModel } from "./models.ts";
import { contextRefusal, Refusal } from "./refusal.ts";
import { cycle, pieces, promptTokens } from "./tokens.ts";

/** Tokens in an answer when nothing asks for another number. */
const defaultTokens = 20;

/** Choices for one prompt; vLLM has no limit, a simulation needs one. */
const choicesMax = 128;

export type Json = Record<string, unknown>;

/** One choice: each piece is a token; a tool call's pieces are its arguments, after one token for its name. */
export interface Choice {
  /** Of its own prompt, which the choices of one request may not share. */
  promptTokens: number;
  pieces: string[];
  tool: { id: string; name: string } | undefined;
  finish: "stop" | "length" | "tool_calls";
}

export interface Generation {
  promptTokens: number;
  choices: Choice[];
  completionTokens: number;
  stream: boolean;
  includeUsage: boolean;
  continuousUsage: boolean;
  /** Alternatives beside each token's own log probability; `undefined` when none were asked for. */
  logprobs: number | undefined;
}

interface Prompt {
  /** Where magic words stand. */
  lastText: string;
  tokens: number;
}

/** Tokens of the choice, the name of its tool included. */
export function tokensOf(choice: Choice): number {
  return choice.pieces.length + (choice.tool ? 1 : 0);
}

export function readBehaviour(prompt: string, asked: Behaviour | undefined): Behaviour {
  return { ...asked, ...magicWords(prompt) };
}

export function chatPrompt(body: Json): Prompt {
  if (!Array.isArray(body.messages) || body.messages.length === 0) throw new Refusal(400, "messages must not be empty", "messages");
  let bytes = 0;
  let images = 0;
  let lastText = "";
  for (const message of body.messages as Json[]) {
    let text: string | undefined;
    if (typeof message?.content === "string") {
      text = message.content;
      bytes += Buffer.byteLength(text);
    } else if (Array.isArray(message?.content)) {
      for (const part of message.content as Json[]) {
        if (part?.type === "image_url") images += 1;
        if (typeof part?.text !== "string") continue;
        text ??= part.text;
        bytes += Buffer.byteLength(part.text);
      }
    }
    if (message?.tool_calls) bytes += Buffer.byteLength(JSON.stringify(message.tool_calls));
    if (message?.role === "user" && text !== undefined) lastText = text;
  }
  if (body.tools) bytes += Buffer.byteLength(JSON.stringify(body.tools));
  return { lastText, tokens: promptTokens(bytes, images) };
}

/** One prompt for each of: a string, each string of an array, an array of tokens, each array of tokens. */
export function textPrompts(input: unknown, param: string): Prompt[] {
  const one = (each: unknown): Prompt => {
    if (typeof each === "string") return { lastText: each, tokens: promptTokens(Buffer.byteLength(each)) };
    if (Array.isArray(each) && each.length > 0 && each.every(Number.isInteger)) return { lastText: "", tokens: each.length };
    throw new Refusal(400, `${param} must be a string, an array of strings or arrays of tokens`, param);
  };
  if (Array.isArray(input) && typeof input[0] !== "number") return input.length > 0 ? input.map(one) : [one(undefined)];
  return [one(input)];
}

/** `raw` is the body as it came: a 64-bit seed would lose digits in a parsed number. */
export function chatGeneration(model: SimulatedModel, body: Json, raw: Buffer, prompt: Prompt, behaviour: Behaviour): Generation {
  const limit = outputLimit(model, body, prompt.tokens);
  const tool = toolOf(body);
  const logprobs = body.logprobs === true ? (typeof body.top_logprobs === "number" ? body.top_logprobs : 0) : undefined;
  const format = structured(body.response_format);
  const choices = repeat(body.n, (index) => {
    if (tool) return cut({ ...toolChoice(tool, index), promptTokens: prompt.tokens }, limit - 1);
    if (format !== undefined) return cut(textOf(pieces(format), prompt), limit);
    return textChoice(body, raw, prompt, behaviour, limit);
  });
  return { ...common(body), logprobs, choices, promptTokens: prompt.tokens, completionTokens: total(choices) };
}

export function completionGeneration(model: SimulatedModel, body: Json, raw: Buffer, prompts: Prompt[], behaviour: Behaviour): Generation {
  const logprobs = typeof body.logprobs === "number" ? body.logprobs : undefined;
  const choices = prompts.flatMap((prompt) => {
    const limit = outputLimit(model, body, prompt.tokens);
    return repeat(body.n, () => textChoice(body, raw, prompt, behaviour, limit));
  });
  const asked = prompts.reduce((sum, prompt) => sum + prompt.tokens, 0);
  return { ...common(body), logprobs, choices, promptTokens: asked, completionTokens: total(choices) };
}

function common(body: Json) {
  const options = (body.stream_options ?? {}) as Json;
  const stream = body.stream === true;
  const includeUsage = stream && options.include_usage === true;
  return { stream, includeUsage, continuousUsage: includeUsage && options.continuous_usage_stats === true };
}

function total(choices: Choice[]): number {
  return choices.reduce((sum, choice) => sum + tokensOf(choice), 0);
}

function repeat<Made>(n: unknown, make: (index: number) => Made): Made[] {
  const times = n ?? 1;
  if (!Number.isInteger(times) || (times as number) < 1 || (times as number) > choicesMax) throw new Refusal(400, "n must be at least 1", "n");
  return Array.from({ length: times as number }, (_, index) => make(index));
}

/** Tokens that one choice may have, or vLLM's refusals. */
function outputLimit(model: SimulatedModel, body: Json, prompt: number): number {
  const asked = body.max_completion_tokens ?? body.max_tokens;
  if (asked === undefined || asked === null) {
    if (prompt >= model.contextTokens) throw contextRefusal("context", model.contextTokens, prompt, 0);
    return model.contextTokens - prompt;
  }
  if (!Number.isInteger(asked)) throw new Refusal(400, "Input should be a valid integer", "max_tokens");
  const limit = asked as number;
  if (limit < 1) throw new Refusal(400, `max_tokens must be at least 1, got ${limit}.`, "max_tokens");
  if (prompt + limit > model.contextTokens) throw contextRefusal("context", model.contextTokens, prompt, limit);
  return limit;
}

function textOf(textPieces: string[], prompt: Prompt): Choice {
  return { pieces: textPieces, promptTokens: prompt.tokens, tool: undefined, finish: "stop" };
}

function toolChoice(tool: { name: string; arguments: string }, index: number) {
  return { pieces: pieces(tool.arguments), tool: { id: `call-simulated-${index}`, name: tool.name }, finish: "tool_calls" as const };
}

function textChoice(body: Json, raw: Buffer, prompt: Prompt, behaviour: Behaviour, limit: number): Choice {
  const all = textPieces(body, raw, prompt.lastText, behaviour);
  const stops = typeof body.stop === "string" ? [body.stop] : Array.isArray(body.stop) ? (body.stop as string[]) : [];
  if (stops.length === 0) return cut(textOf(all, prompt), limit);
  const text = all.join("");
  const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  const kept = ends.length > 0 ? pieces(text.slice(0, Math.min(...ends))) : all;
  return cut(textOf(kept, prompt), limit);
}

/** Said over and over; 7 tokens of 4 bytes each. */
const sentence = "This answer is simulated -- ";

/** Characters of 2, 3 and 4 bytes of UTF-8, so that any cut of the bytes falls inside one sooner or later. */
const wideSentence = "é漢🙂ß字🚀";

function textPieces(body: Json, raw: Buffer, prompt: string, behaviour: Behaviour): string[] {
  if (behaviour.echo) return pieces(prompt);
  const count = behaviour.tokens ?? defaultTokens;
  if (behaviour.split_utf8) return cycle(wideSentence, count);
  if (body.seed === undefined || body.seed === null) return cycle(sentence, count);
  const seed = /"seed"\s*:\s*(-?\d+)/.exec(raw.toString("latin1"))?.[1];
  return cycle(`This answer is simulated with seed ${seed}. `, count);
}

function cut(choice: Choice, limit: number): Choice {
  // An engine has generated a token before it can see that the text ends there.
  if (choice.pieces.length === 0 && !choice.tool) return { ...choice, pieces: [""] };
  return choice.pieces.length <= limit ? choice : { ...choice, pieces: choice.pieces.slice(0, limit), finish: "length" };
}

/** The first tool, or the one that tool_choice names; none when the last message already answers a call. */
function toolOf(body: Json): { name: string; arguments: string } | undefined {
  if (!Array.isArray(body.tools) || body.tools.length === 0 || body.tool_choice === "none") return undefined;
  const messages = body.messages as Json[];
  const named = ((body.tool_choice as Json | null)?.function as Json | undefined)?.name;
  if (named === undefined && body.tool_choice !== "required" && messages.at(-1)?.role === "tool") return undefined;
  const functions = (body.tools as Json[]).map((tool) => (tool?.function ?? {}) as Json);
  const chosen = named === undefined ? functions[0] : functions.find((each) => each.name === named);
  if (typeof chosen?.name !== "string") throw new Refusal(400, "tool_choice names no tool of this request", "tool_choice");
  return { name: chosen.name, arguments: JSON.stringify(instanceOf(chosen.parameters) ?? {}) };
}

function structured(format: unknown): string | undefined {
  const { type, json_schema: named } = (format ?? {}) as { type?: unknown; json_schema?: { schema?: unknown } };
  if (type === "json_object") return '{"simulated":true}';
  return type === "json_schema" ? JSON.stringify(instanceOf(named?.schema)) : undefined;
}
