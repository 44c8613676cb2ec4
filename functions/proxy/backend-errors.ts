/**
 * What went wrong at a backend, as an error a caller may see. Engines quote prompts and templates in their messages,
 * so none of their text passes: only closed codes, and the name of a field when it is one of ours.
 */
import { errors } from "undici";
import { EpithreError } from "#shared/errors.ts";
import type { EndpointName } from "./routes.ts";
import { forwardedFields } from "./schema.ts";

const contextWords = /context[ _](length|window|size)|maximum (input|prompt|context)|too (long|many tokens)|exceeds? the (available|model)/i;

/** `body` is the engine's answer, read for its meaning and dropped. */
export function backendAnswerError(status: number, body: Buffer, endpoint: EndpointName): EpithreError {
  if (status === 400 || status === 413 || status === 422) {
    const { message, code, param } = errorFields(body);
    if (code === "context_length_exceeded" || contextWords.test(message)) {
      return new EpithreError(
        "context_length_exceeded",
        "Cannot fit this request: prompt and output together exceed the model's context length. Shorten the prompt or ask for fewer tokens.",
        { param: "messages" },
      );
    }
    const field = param !== undefined && forwardedFields[endpoint].vllm.has(param) ? param : undefined;
    return new EpithreError(
      "backend_rejected",
      field ? `Cannot run this request: the engine refused field ${field}` : "Cannot run this request: the engine refused one of its fields",
      field ? { param: field } : {},
    );
  }
  if (status === 429 || status === 503) {
    return new EpithreError("overloaded", "Cannot run this request now: the engine is full. Try again shortly.", { retryAfterS: 1 });
  }
  if (status === 408 || status === 504) return timedOut();
  return new EpithreError("backend_failed", "Cannot run this request: the engine failed. Try again.");
}

function errorFields(body: Buffer): { message: string; code: string; param: string | undefined } {
  try {
    const value = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
    const fields = (typeof value.error === "object" && value.error !== null ? value.error : value) as Record<string, unknown>;
    return {
      message: String(fields.message ?? ""),
      code: String(fields.code ?? ""),
      param: typeof fields.param === "string" ? fields.param : undefined,
    };
  } catch {
    return { message: "", code: "", param: undefined };
  }
}

export const timedOut = () =>
  new EpithreError("backend_timeout", "Cannot finish this request: the engine did not answer in time. Try again.");

export const backendFailed = () =>
  new EpithreError("backend_failed", "Cannot finish this request: the engine's answer broke off. Try again.");

/** An error of the connection to a backend. */
export function connectionError(error: Error): EpithreError {
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError) return timedOut();
  return backendFailed();
}
