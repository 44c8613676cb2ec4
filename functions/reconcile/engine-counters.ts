/** What one engine says that it has taken in and put out since it started: vLLM's counters for Prometheus. */

export interface TokenCounters {
  promptTokens: number;
  completionTokens: number;
}

/** `vllm:prompt_tokens_total{engine="0",model_name="x"} 1.5e+06`, in Prometheus' text format. */
const line = /^vllm:(prompt|generation)_tokens_total\{(.*)\} (\S+)/gm;
const modelName = /(?:^|,)model_name="([^"\\]+)"/;

/** By model; one served by several engines of a process, each with a line of its own, is summed. */
export function readCounters(text: string): Map<string, TokenCounters> {
  const counters = new Map<string, TokenCounters>();
  for (const [, kind, labels, number] of text.matchAll(line)) {
    const model = modelName.exec(labels!)?.[1];
    const value = Math.round(Number(number));
    if (model === undefined || !Number.isSafeInteger(value) || value < 0) continue;
    const counter = counters.get(model) ?? { promptTokens: 0, completionTokens: 0 };
    if (kind === "prompt") counter.promptTokens += value;
    else counter.completionTokens += value;
    counters.set(model, counter);
  }
  return counters;
}
