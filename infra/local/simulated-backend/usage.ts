/** The `usage` object, right or wrong on purpose. */
import type { UsageFault } from "./behaviour.ts";

/** Tokens that no request could have: 10^15. */
const huge = 1_000_000_000_000_000;

/** JSON text of a usage object. `nan` is no valid JSON: it is what Python prints for a number that is none. */
export function usageJson(prompt: number, completion: number, fault?: UsageFault): string {
  if (fault === "negative") return usageOf(prompt, String(-completion));
  if (fault === "nan") return usageOf(prompt, "NaN");
  if (fault === "huge") return usageOf(prompt, String(huge));
  if (fault === "zero") return usageOf(0, "0");
  if (fault === "text") return usageOf(prompt, `"${completion}"`);
  return usageOf(prompt, String(completion), prompt + completion);
}

function usageOf(prompt: number, completion: string, total = prompt): string {
  return `{"prompt_tokens":${prompt},"total_tokens":${total},"completion_tokens":${completion},"prompt_tokens_details":{"cached_tokens":0}}`;
}
