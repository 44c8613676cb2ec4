/**
 * What may enter on the public routes: loose, since OpenAI's API has many fields that only the engine reads. Checked
 * here are the fields that cost money, steer the proxy, or could make an engine fetch or keep something.
 */
import { z } from "zod";
import { imageQualities } from "#shared/policy.ts";
import type { EndpointName } from "./routes.ts";

/** Choices or images of one call: OpenAI's own limit is 128; a hold for more than 16 worst cases is a mistake. */
const choicesMax = 16;
/** Inputs of one embeddings call, and prompts of one completions call: OpenAI's limit. */
const inputsMax = 2_048;
/** Messages of one chat, and parts of one message: far above any context, they bound the work of checking them. */
const messagesMax = 10_000;
const partsMax = 4_096;
/** Characters of a model's name. */
const modelNameMax = 128;

const model = z.string().min(1).max(modelNameMax);
const count = z.int().min(1).max(choicesMax).nullish();
const tokenLimit = z.int().min(1).nullish();
const flag = z.boolean().nullish();
const ratio = z.number().min(-2).max(2).nullish();

/** What decides the worst case of a call is checked on every endpoint, also where it means nothing. */
const priced = { n: count, best_of: count, max_tokens: tokenLimit, max_completion_tokens: tokenLimit };

const generation = {
  ...priced,
  model,
  stream: flag,
  stream_options: z.looseObject({ include_usage: flag, continuous_usage_stats: flag }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  frequency_penalty: ratio,
  presence_penalty: ratio,
  seed: z.number().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  store: z.boolean().nullish(),
};

const Message = z.looseObject({
  role: z.string().max(64),
  content: z.union([z.string(), z.array(z.looseObject({})).max(partsMax)]).nullish(),
});

/** Switches of the model's own template. A template of the caller's would be a program that runs in the engine. */
const templateArguments = z
  .record(z.string().max(64), z.union([z.boolean(), z.number(), z.string().max(64)]))
  .refine((given) => !("chat_template" in given) && !("tokenize" in given), "must not bring a template of its own");

const Chat = z.looseObject({
  ...generation,
  messages: z.array(Message).min(1).max(messagesMax),
  logprobs: flag,
  chat_template_kwargs: templateArguments.nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(z.looseObject({ type: z.string() })).max(1_024).nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  parallel_tool_calls: flag,
});

const tokenIds = z.array(z.int());
const inputs = z.union([
  z.string(),
  z.array(z.string()).min(1).max(inputsMax),
  tokenIds.min(1),
  z.array(tokenIds).min(1).max(inputsMax),
]);

const Completion = z.looseObject({
  ...generation,
  prompt: inputs,
  logprobs: z.int().min(0).max(20).nullish(),
  echo: flag,
});

const Embedding = z.looseObject({
  ...priced,
  model,
  stream: z.literal(false, "must be false: embeddings do not stream").nullish(),
  input: inputs,
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
});

/** Streams of partial images are not offered; the form field or JSON field must be false or absent. */
const image = {
  ...priced,
  model,
  // They decide the price, so they have one spelling: what an engine might read, and no line is written like, is refused.
  size: z.string().regex(/^([1-9]\d{0,4}x[1-9]\d{0,4}|auto)$/, "must be WIDTHxHEIGHT in pixels, such as 1024x1024, or auto").nullish(),
  quality: z.enum([...imageQualities, "auto"]).nullish(),
  response_format: z
    .literal("b64_json", "must be b64_json: images are returned in the answer, since none is kept to link to")
    .nullish(),
  stream: z.literal(false, "must be false: partial images are not offered").nullish(),
};

const ImageGeneration = z.looseObject({ ...image, prompt: z.string().min(1).max(32_000) });

/** A form's text fields, numbers already read as such. */
const ImageEdit = z.looseObject({ ...image, prompt: z.string().min(1).max(32_000) });
const ImageVariation = z.looseObject(image);

export const bodySchemas = {
  "chat.completions": Chat,
  completions: Completion,
  embeddings: Embedding,
  "images.generations": ImageGeneration,
  "images.edits": ImageEdit,
  "images.variations": ImageVariation,
} as const satisfies Record<EndpointName, z.ZodType>;

const openaiGeneration = [
  "model",
  "stream",
  "n",
  "max_tokens",
  "temperature",
  "top_p",
  "frequency_penalty",
  "presence_penalty",
  "logit_bias",
  "logprobs",
  "seed",
  "stop",
];

const vllmSampling = [
  "top_k",
  "min_p",
  "repetition_penalty",
  "length_penalty",
  "stop_token_ids",
  "include_stop_str_in_output",
  "ignore_eos",
  "min_tokens",
  "skip_special_tokens",
  "spaces_between_special_tokens",
  "bad_words",
  "allowed_token_ids",
  "truncate_prompt_tokens",
  "add_special_tokens",
  "structured_outputs",
  "guided_json",
  "guided_regex",
  "guided_choice",
  "guided_grammar",
];

const images = ["model", "prompt", "n", "size", "quality", "response_format", "background", "output_format", "output_compression", "style"];

/**
 * The fields that an engine may see; the rest is dropped and counted, because engines log unknown names and some
 * fields steer them. `user`, `metadata` and `store` describe or keep a person's data: no engine needs them.
 */
const openaiFields: Record<EndpointName, string[]> = {
  "chat.completions": [
    ...openaiGeneration,
    "messages",
    "max_completion_tokens",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "verbosity",
  ],
  completions: [...openaiGeneration, "prompt", "best_of", "echo", "suffix"],
  embeddings: ["model", "input", "encoding_format", "dimensions"],
  "images.generations": images,
  "images.edits": [...images, "image", "image[]", "mask", "input_fidelity"],
  "images.variations": ["model", "image", "n", "size", "response_format"],
};

const vllmFields: Partial<Record<EndpointName, string[]>> = {
  "chat.completions": [
    ...vllmSampling,
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "documents",
    "include_reasoning",
  ],
  completions: vllmSampling,
  embeddings: ["truncate_prompt_tokens", "add_special_tokens"],
  "images.generations": ["seed", "negative_prompt", "guidance_scale", "num_inference_steps"],
  "images.edits": ["seed", "negative_prompt", "guidance_scale", "num_inference_steps"],
};

function allowed(endpoint: EndpointName): Record<"openai" | "vllm" | "simulated", ReadonlySet<string>> {
  const openai = new Set(openaiFields[endpoint]);
  const vllm = new Set([...openai, ...(vllmFields[endpoint] ?? [])]);
  return { openai, vllm, simulated: vllm };
}

export const forwardedFields = {
  "chat.completions": allowed("chat.completions"),
  completions: allowed("completions"),
  embeddings: allowed("embeddings"),
  "images.generations": allowed("images.generations"),
  "images.edits": allowed("images.edits"),
  "images.variations": allowed("images.variations"),
} as const satisfies Record<EndpointName, unknown>;
