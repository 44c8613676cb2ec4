/** What the simulated backend really did, by model: the truth that bills are compared with. */

export interface ModelCounts {
  /** Requests that named this model, whatever became of them. */
  requests: number;
  /** Answered whole. */
  completed: number;
  /** The caller left before the answer was whole. */
  aborted: number;
  /** Broken off or refused by a simulated fault, or refused as wrong. */
  failed: number;
  /** Of everything that began to be answered, aborted and broken ones included. */
  promptTokens: number;
  completionTokens: number;
  images: number;
  /** The part of the above that belongs to aborted requests. */
  abortedPromptTokens: number;
  abortedCompletionTokens: number;
}

export interface Counts {
  /** Requests being answered now. */
  open: number;
  models: Record<string, ModelCounts>;
  total: ModelCounts;
}

export function noCounts(): ModelCounts {
  return {
    requests: 0,
    completed: 0,
    aborted: 0,
    failed: 0,
    promptTokens: 0,
    completionTokens: 0,
    images: 0,
    abortedPromptTokens: 0,
    abortedCompletionTokens: 0,
  };
}

export function summed(models: Record<string, ModelCounts>): ModelCounts {
  const total = noCounts();
  for (const counts of Object.values(models)) {
    for (const name of Object.keys(total) as (keyof ModelCounts)[]) total[name] += counts[name];
  }
  return total;
}

/** vLLM's metric names, so that what reads an engine's metrics reads these. */
export function metricsText({ models }: Counts, openByModel: (model: string) => number): string {
  const metrics: [name: string, type: string, value: (counts: ModelCounts, model: string) => number, labels?: string][] = [
    ["vllm:prompt_tokens_total", "counter", (counts) => counts.promptTokens],
    ["vllm:generation_tokens_total", "counter", (counts) => counts.completionTokens],
    ["vllm:request_success_total", "counter", (counts) => counts.completed, ',finished_reason="stop"'],
    ["vllm:num_requests_running", "gauge", (_, model) => openByModel(model)],
    ["vllm:num_requests_waiting", "gauge", () => 0],
    ["vllm:kv_cache_usage_perc", "gauge", () => 0],
  ];
  return metrics
    .map(([name, type, value, labels = ""]) => {
      const lines = Object.entries(models).map(([model, counts]) => `${name}{model_name="${model}",engine="0"${labels}} ${value(counts, model)}`);
      return `# HELP ${name} Simulated.\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
    })
    .join("");
}
