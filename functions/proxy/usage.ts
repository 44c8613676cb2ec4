/** What an engine says a request used: read with suspicion, since it becomes money. */
import type { Bounds, Usage } from "./call.ts";

/** Reported numbers that no request of these bounds can have used are invalid: never charged, and counted. */
export function readUsage(value: unknown, bounds: Bounds, contextTokens: number): Usage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  const promptTokens = tokensIn(fields.prompt_tokens ?? fields.input_tokens);
  const completionTokens = tokensIn(fields.completion_tokens ?? fields.output_tokens ?? 0);
  if (promptTokens === undefined || completionTokens === undefined) return undefined;
  // The byte bound can fall short of what a template or normalisation adds; the context cannot.
  if (promptTokens > Math.max(bounds.promptTokensMax, contextTokens)) return undefined;
  if (completionTokens > bounds.completionTokensMax) return undefined;
  // What the hold does not cover is not charged, so it is not in the usage event either: a charge is its tokens' price.
  const chargedTokens = Math.min(promptTokens, bounds.promptTokensMax);
  const cachedTokens = detail(fields.prompt_tokens_details, "cached_tokens");
  const reasoningTokens = detail(fields.completion_tokens_details, "reasoning_tokens");
  return {
    promptTokens: chargedTokens,
    completionTokens,
    cachedTokens: Math.min(cachedTokens, chargedTokens),
    reasoningTokens: Math.min(reasoningTokens, completionTokens),
    images: 0,
  };
}

function tokensIn(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A missing or odd detail counts as none: it only ever lowers the price. */
function detail(details: unknown, name: string): number {
  if (typeof details !== "object" || details === null) return 0;
  return tokensIn((details as Record<string, unknown>)[name]) ?? 0;
}
