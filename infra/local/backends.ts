/** Which engines the proxy is given, and which models they have: the simulated backend's, or those of `--backend`. */
import { request } from "undici";
import { z } from "zod";
import { simulatedModels, type SimulatedModel } from "./simulated-backend/models.ts";

/** As the proxy's setting `backends` has it. */
export interface BackendSetting {
  url: string;
  models: string[] | null;
  type: "vllm" | "openai" | "simulated";
}

export type BackendModel = SimulatedModel;

export interface Backends {
  settings: BackendSetting[];
  models: readonly BackendModel[];
}

/** Milliseconds for an engine to list its models. */
const listTimeoutMs = 5_000;

/** Tokens that count where an engine does not say: what small engines give a context by default. */
const contextTokensDefault = 4_096;

/** Tokens that a chat template may add to a prompt. */
const templateTokensMax = 256;

/** Tokens that one image may become: what large vision models give a picture at full resolution. */
const imageTokensMax = 4_096;

/** OpenAI's list of models, with vLLM's and llama.cpp's fields for the length of the context. */
const ModelList = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      owned_by: z.string().optional(),
      max_model_len: z.int().positive().optional().nullable(),
      meta: z.object({ n_ctx_train: z.int().positive().optional() }).optional().nullable(),
    }),
  ),
});
type ListedModel = z.output<typeof ModelList>["data"][number];

export function simulatedBackends(port: number): Backends {
  return { settings: [{ url: `http://127.0.0.1:${port}`, models: null, type: "simulated" }], models: simulatedModels };
}

/** Asks each engine what it serves. Throws one sentence when one does not answer. */
export async function realBackends(urls: string[]): Promise<Backends> {
  const listed = await Promise.all(urls.map(listModels));
  return {
    settings: listed.map((models, at) => ({
      url: urls[at]!,
      models: models.map((model) => model.id),
      type: models.some((model) => model.owned_by === "vllm") ? "vllm" : "openai",
    })),
    models: [...new Map(listed.flat().map((model) => [model.id, describe(model)])).values()],
  };
}

async function listModels(url: string): Promise<ListedModel[]> {
  const problem = (state: string) => new Error(`Cannot use backend ${url}: ${state}; start the engine first, or correct --backend`);
  let answer: unknown;
  try {
    const { statusCode, body } = await request(new URL("v1/models", url.replace(/\/?(v1\/?)?$/, "/")), {
      signal: AbortSignal.timeout(listTimeoutMs),
    });
    answer = statusCode === 200 ? await body.json() : await body.dump();
  } catch {
    throw problem("it does not list its models");
  }
  const parsed = ModelList.safeParse(answer);
  if (!parsed.success) throw problem("its list of models has another shape than OpenAI's");
  if (parsed.data.data.length === 0) throw problem("it serves no model");
  return parsed.data.data;
}

/** A name is all that tells what a model of a real engine does. */
function describe({ id, max_model_len, meta }: ListedModel): BackendModel {
  const contextTokens = max_model_len ?? meta?.n_ctx_train ?? contextTokensDefault;
  const isEmbedding = /embed|bge|e5-|gte-/i.test(id);
  return {
    id,
    kind: isEmbedding ? "embedding" : "chat",
    contextTokens,
    outputTokensMax: isEmbedding ? 0 : contextTokens,
    templateTokens: templateTokensMax,
    imageTokensMax: isEmbedding ? 0 : imageTokensMax,
  };
}
