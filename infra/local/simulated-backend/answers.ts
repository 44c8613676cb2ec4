/** Bodies and stream events for chat and completions, byte for byte as vLLM shapes them. */
import type { UsageFault } from "./behaviour.ts";
import type { Choice, Generation } from "./generation.ts";
import { usageJson } from "./usage.ts";

/** Each token's simulated log probability. */
const logprob = -0.1;

export type Kind = "chat" | "text";

/** What every body and event of one answer begins with. */
export interface Envelope {
  kind: Kind;
  id: string;
  model: string;
  /** Seconds since 1970. */
  created: number;
}

function head({ kind, id, model, created }: Envelope, chunk: boolean): string {
  const object = kind === "text" ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
  return `{"id":"${id}","object":"${object}","created":${created},"model":"${model}","choices":[`;
}

/** The whole answer of a call that does not stream. */
export function wholeBody(envelope: Envelope, generation: Generation, fault?: UsageFault): string {
  const { choices, logprobs, promptTokens, completionTokens } = generation;
  const texts = choices.map((choice, index) => (envelope.kind === "chat" ? wholeChat(choice, index, logprobs) : wholeText(choice, index, logprobs)));
  const usage = usageJson(promptTokens, completionTokens, fault);
  const usageMember = fault === "missing" ? "" : fault === "twice" ? `,"usage":${usage},"usage":${usage}` : `,"usage":${usage}`;
  return `${head(envelope, false)}${texts.join(",")}]${usageMember}}`;
}

function wholeChat(choice: Choice, index: number, logprobs: number | undefined): string {
  const content = choice.pieces.join("");
  const message = choice.tool
    ? { role: "assistant", content: null, tool_calls: [{ id: choice.tool.id, type: "function", function: { name: choice.tool.name, arguments: content } }] }
    : { role: "assistant", content };
  return `{"index":${index},"message":${JSON.stringify(message)},"logprobs":${chatLogprobs(choice.pieces, logprobs)},"finish_reason":"${choice.finish}","stop_reason":null}`;
}

function wholeText(choice: Choice, index: number, logprobs: number | undefined): string {
  const text = JSON.stringify(choice.pieces.join(""));
  return `{"index":${index},"text":${text},"logprobs":${textLogprobs(choice.pieces, logprobs, 0)},"finish_reason":"${choice.finish}","stop_reason":null}`;
}

function chatLogprobs(pieces: string[], alternatives: number | undefined): string {
  if (alternatives === undefined) return "null";
  const content = pieces.map((token) => {
    const one = { token, logprob, bytes: [...Buffer.from(token)] };
    return { ...one, top_logprobs: Array.from({ length: alternatives }, () => one) };
  });
  return JSON.stringify({ content });
}

function textLogprobs(pieces: string[], alternatives: number | undefined, offset: number): string {
  if (alternatives === undefined) return "null";
  let at = offset;
  const offsets = pieces.map((token) => (at += token.length) - token.length);
  return JSON.stringify({
    tokens: pieces,
    token_logprobs: pieces.map(() => logprob),
    top_logprobs: pieces.map((token) => ({ [token]: logprob })),
    text_offset: offsets,
  });
}

/** The events of one streamed answer, made one by one as its tokens are generated. */
export interface Events {
  /** What comes before any token: each chat choice's role. */
  opening(): string;
  /** One token: the last of a choice carries its finish_reason, as in vLLM. */
  token(choiceIndex: number, at: number): string;
  /** After the last token: usage if asked for, then the end mark. */
  closing(): string;
}

export const doneEvent = "data: [DONE]\n\n";

export function streamEvents(envelope: Envelope, generation: Generation, fault?: UsageFault): Events {
  const start = `data: ${head(envelope, true)}`;
  const { promptTokens, continuousUsage, includeUsage, choices, logprobs } = generation;
  const written = choices.map(() => 0);
  // As in vLLM, the usage in an event counts its own choice only; the closing one counts all of them.
  const event = (choice: string, index: number) => {
    const usage = continuousUsage && fault !== "missing" ? `,"usage":${usageJson(choices[index]!.promptTokens, written[index]!, fault)}` : "";
    return `${start}${choice}]${usage}}\n\n`;
  };
  const deltas = choices.map((choice, index) => (envelope.kind === "chat" ? chatDeltas(choice, index, logprobs) : textDeltas(choice, index, logprobs)));

  return {
    opening() {
      if (envelope.kind === "text") return "";
      return choices
        .map((_, index) => event(`{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`, index))
        .join("");
    },
    token(choiceIndex, at) {
      written[choiceIndex]! += 1;
      return event(deltas[choiceIndex]!(at), choiceIndex);
    },
    closing() {
      if (!includeUsage || fault === "missing") return doneEvent;
      const total = written.reduce((sum, each) => sum + each, 0);
      const usage = `${start}],"usage":${usageJson(promptTokens, total, fault)}}\n\n`;
      return (fault === "twice" ? usage + usage : usage) + doneEvent;
    },
  };
}

type Deltas = (at: number) => string;

function chatDeltas({ pieces, tool, finish }: Choice, index: number, alternatives: number | undefined): Deltas {
  const last = pieces.length + (tool ? 0 : -1);
  return (at) => {
    const delta = tool ? toolDelta(tool, pieces, at) : `{"content":${JSON.stringify(pieces[at])}}`;
    const logprobs = tool || alternatives === undefined ? "null" : chatLogprobs([pieces[at]!], alternatives);
    return `{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${at === last ? `"${finish}"` : "null"}}`;
  };
}

/** Token 0 is the tool's name; each further one a piece of its arguments. */
function toolDelta(tool: { id: string; name: string }, pieces: string[], at: number): string {
  const call =
    at === 0
      ? { id: tool.id, type: "function", index: 0, function: { name: tool.name, arguments: "" } }
      : { index: 0, function: { arguments: pieces[at - 1] } };
  return JSON.stringify({ tool_calls: [call] });
}

function textDeltas({ pieces, finish }: Choice, index: number, alternatives: number | undefined): Deltas {
  let offset = 0;
  return (at) => {
    const piece = pieces[at]!;
    const logprobs = textLogprobs([piece], alternatives, offset);
    offset += piece.length;
    const reason = at === pieces.length - 1 ? `"${finish}"` : "null";
    return `{"index":${index},"text":${JSON.stringify(piece)},"logprobs":${logprobs},"finish_reason":${reason},"stop_reason":null}`;
  };
}
