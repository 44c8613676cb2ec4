/** Calls of the API, with the person's own key. */
import { has, t } from "./text.js";

/** The key that was opened. It lives here and nowhere else: no storage, no address, no field. */
let apiKey = "";
let keyInUse = new AbortController();

/** Another key, or none: calls that still run with the one before are ended, so their answers show nowhere. */
export function setKey(key) {
  keyInUse.abort();
  keyInUse = new AbortController();
  apiKey = key;
}

export class ApiError extends Error {
  constructor(code, message, retryAfter) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** The response of a call that succeeded; otherwise throws ApiError, or AbortError when `signal` or setKey ended it. */
export async function call(path, { method, body, headers, signal, accept = "application/json" } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: method ?? (body ? "POST" : "GET"),
      headers: { authorization: `Bearer ${apiKey}`, accept, ...(body && { "content-type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, keyInUse.signal]) : keyInUse.signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    throw isAbort(error) ? error : new ApiError("network");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw errorOf(answer.error, response.headers.get("retry-after"));
}

/** `error` is OpenAI's error object, as an answer or an event of a stream carries it. */
export function errorOf(error, retryAfter) {
  return new ApiError(error?.code ?? error?.type ?? "unexpected", error?.message, retryAfter);
}

/** The JSON of the answer, or an ApiError when it is none. */
export async function read(path, options) {
  const response = await call(path, options);
  return response.json().catch((error) => {
    throw isAbort(error) ? error : new ApiError("unexpected");
  });
}

export const isAbort = (error) => error.name === "AbortError";

/**
 * What went wrong, in the page's language where it knows the code, else in the API's own words. A `task` can have words
 * of its own for a code; they say by themselves when to try again.
 */
export function explain(error, task) {
  if (!(error instanceof ApiError)) return t("error.network");
  const own = `error.${task}.${error.code}`;
  if (has(own)) return t(own);
  const known = `error.${error.code}`;
  const text = has(known) ? t(known) : error.message || t("error.unexpected");
  const seconds = Number(error.retryAfter);
  return seconds > 0 ? `${text} ${t("error.retry", { seconds })}` : text;
}

/** The data of each server-sent event, as it comes. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
