/** Deterministic unit vectors: the same input has the same vector in every process. */
import type { Behaviour } from "./behaviour.ts";
import { textPrompts, type Json } from "./generation.ts";
import type { SimulatedModel } from "./models.ts";
import { contextRefusal, Refusal } from "./refusal.ts";
import { usageJson } from "./usage.ts";

/** Numbers in a vector when the caller names no `dimensions`. */
const defaultDimensions = 64;
const dimensionsMax = 4_096;

export interface Embedding {
  promptTokens: number;
  body(behaviour: Behaviour): string;
  lastText: string;
}

export function embeddingOf(model: SimulatedModel, body: Json): Embedding {
  const prompts = textPrompts(body.input, "input");
  for (const { tokens } of prompts) {
    if (tokens > model.contextTokens) throw contextRefusal("context", model.contextTokens, tokens, 0);
  }
  const dimensions = body.dimensions ?? defaultDimensions;
  if (!Number.isInteger(dimensions) || (dimensions as number) < 1 || (dimensions as number) > dimensionsMax) {
    throw new Refusal(400, "dimensions must be a positive integer", "dimensions");
  }
  const inputs: unknown[] = Array.isArray(body.input) && typeof body.input[0] !== "number" ? body.input : [body.input];
  const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.tokens, 0);
  return {
    promptTokens,
    lastText: prompts[0]!.lastText,
    body(behaviour) {
      const data = inputs.map((input, index) => {
        const vector = unitVector(JSON.stringify(input), dimensions as number);
        const embedding = body.encoding_format === "base64" ? Buffer.from(vector.buffer).toString("base64") : [...vector];
        return { object: "embedding", index, embedding };
      });
      const usage = behaviour.usage === "missing" ? "" : `,"usage":${usageJson(promptTokens, 0, behaviour.usage)}`;
      return `{"object":"list","data":${JSON.stringify(data)},"model":"${model.id}"${usage}}`;
    },
  };
}

/** Numbers of a xorshift generator seeded by FNV-1a of the text, scaled to length 1. */
export function unitVector(text: string, dimensions: number): Float32Array<ArrayBuffer> {
  let state = 2_166_136_261;
  for (const byte of Buffer.from(text)) state = Math.imul(state ^ byte, 16_777_619);
  state = state === 0 ? 1 : state;
  const vector = new Float32Array(dimensions);
  let squares = 0;
  for (let at = 0; at < dimensions; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    vector[at] = state / 2_147_483_648;
    squares += vector[at]! ** 2;
  }
  const length = Math.sqrt(squares) || 1;
  return vector.map((each) => each / length);
}
