/** Errors in the shape that vLLM answers with. */

export class Refusal extends Error {
  readonly status: number;
  readonly param: string | null;

  constructor(status: number, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

const types: Record<number, string> = {
  400: "BadRequestError",
  401: "AuthenticationError",
  404: "NotFoundError",
  422: "UnprocessableEntityError",
  429: "RateLimitError",
  500: "InternalServerError",
  501: "NotImplementedError",
  503: "ServiceUnavailableError",
};

export function errorJson({ status, message, param }: { status: number; message: string; param: string | null }): string {
  const type = types[status] ?? (status < 500 ? "BadRequestError" : "InternalServerError");
  return JSON.stringify({ error: { message, type, param, code: status } });
}

/** vLLM's words for a prompt that does not fit, before 0.16 and since. */
export function contextRefusal(style: "context" | "context_new", context: number, prompt: number, output: number): Refusal {
  if (style === "context_new") {
    return new Refusal(
      400,
      `You passed ${prompt} input tokens and requested ${output} output tokens. However, the model's context length is ` +
        `only ${context} tokens, resulting in a maximum input length of ${Math.max(0, context - output)} tokens. ` +
        `Please reduce the length of the input prompt. (parameter=input_tokens, value=${prompt})`,
      "input_tokens",
    );
  }
  return new Refusal(
    400,
    `This model's maximum context length is ${context} tokens. However, you requested ${prompt + output} tokens ` +
      `(${prompt} in the messages, ${output} in the completion). Please reduce the length of the messages or completion.`,
  );
}
