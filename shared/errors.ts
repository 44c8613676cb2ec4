/**
 * The one error class. Its code is closed, its message is ours and never quotes what a caller sent, and it
 * carries no payload, so that no content can travel in an error (content.none).
 */

/** Every error a caller can meet, with the HTTP status and OpenAI's `type` and `code` it is answered with. */
const kinds = {
  invalid_request: { status: 400, type: "invalid_request_error", code: null },
  invalid_token: { status: 400, type: "invalid_request_error", code: "invalid_token" },
  invalid_json: { status: 400, type: "invalid_request_error", code: "invalid_json" },
  unsupported_value: { status: 400, type: "invalid_request_error", code: "unsupported_value" },
  context_length_exceeded: { status: 400, type: "invalid_request_error", code: "context_length_exceeded" },
  remote_image: { status: 400, type: "invalid_request_error", code: "invalid_image_url" },
  zero_retention: { status: 400, type: "invalid_request_error", code: "zero_retention" },
  backend_rejected: { status: 400, type: "invalid_request_error", code: "backend_rejected" },
  missing_api_key: { status: 401, type: "invalid_request_error", code: "missing_api_key" },
  invalid_api_key: { status: 401, type: "invalid_request_error", code: "invalid_api_key" },
  invalid_signature: { status: 401, type: "invalid_request_error", code: "invalid_signature" },
  invalid_session: { status: 401, type: "invalid_request_error", code: "invalid_session" },
  invalid_credentials: { status: 401, type: "invalid_request_error", code: "invalid_credentials" },
  insufficient_quota: { status: 402, type: "insufficient_quota", code: "insufficient_quota" },
  // OpenAI's code for a limit that the customer has set on spending, under the same type as an empty balance.
  budget_exceeded: { status: 402, type: "insufficient_quota", code: "billing_hard_limit_reached" },
  missing_scope: { status: 403, type: "invalid_request_error", code: "insufficient_permissions" },
  email_not_verified: { status: 403, type: "invalid_request_error", code: "email_not_verified" },
  model_not_allowed: { status: 403, type: "invalid_request_error", code: "model_not_allowed" },
  account_suspended: { status: 403, type: "invalid_request_error", code: "account_suspended" },
  model_not_found: { status: 404, type: "invalid_request_error", code: "model_not_found" },
  model_retired: { status: 404, type: "invalid_request_error", code: "model_retired" },
  not_found: { status: 404, type: "invalid_request_error", code: "not_found" },
  unknown_url: { status: 404, type: "invalid_request_error", code: "unknown_url" },
  method_not_allowed: { status: 405, type: "invalid_request_error", code: "method_not_allowed" },
  conflict: { status: 409, type: "invalid_request_error", code: "conflict" },
  idempotent_replay: { status: 409, type: "invalid_request_error", code: "idempotent_replay" },
  idempotency_in_progress: { status: 409, type: "invalid_request_error", code: "idempotency_in_progress" },
  body_too_large: { status: 413, type: "invalid_request_error", code: "request_too_large" },
  unsupported_media_type: { status: 415, type: "invalid_request_error", code: "unsupported_media_type" },
  unsupported_encoding: { status: 415, type: "invalid_request_error", code: "unsupported_encoding" },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", code: "rate_limit_exceeded" },
  internal: { status: 500, type: "server_error", code: "internal_error" },
  queueing_refused: { status: 501, type: "invalid_request_error", code: "queueing_refused" },
  backend_failed: { status: 502, type: "server_error", code: "backend_error" },
  unavailable: { status: 503, type: "server_error", code: "service_unavailable" },
  not_settled: { status: 503, type: "server_error", code: "not_settled" },
  overloaded: { status: 503, type: "server_error", code: "overloaded" },
  backend_timeout: { status: 504, type: "server_error", code: "backend_timeout" },
} as const satisfies Record<string, { status: number; type: string; code: string | null }>;

export type ErrorKind = keyof typeof kinds;

/** `param` is a field name from our own schemas, never one that the caller invented. */
export interface ErrorDetail {
  param?: string;
  /** Seconds, sent as `retry-after`. */
  retryAfterS?: number;
  /** Further headers of the answer, such as `x-should-retry`. */
  headers?: Record<string, string>;
}

export class EpithreError extends Error {
  override readonly name = "EpithreError";

  readonly kind: ErrorKind;
  readonly detail: ErrorDetail;

  constructor(kind: ErrorKind, message: string, detail: ErrorDetail = {}) {
    super(message);
    this.kind = kind;
    this.detail = detail;
  }

  get status(): number {
    return kinds[this.kind].status;
  }
}

/** OpenAI's error object, byte for byte what its SDKs parse. */
export function errorBody(error: EpithreError): string {
  const { type, code } = kinds[error.kind];
  return JSON.stringify({ error: { message: error.message, type, param: error.detail.param ?? null, code } });
}

export function errorHeaders(error: EpithreError): Record<string, string> {
  return {
    "content-type": "application/json",
    ...(error.detail.retryAfterS === undefined ? {} : { "retry-after": String(error.detail.retryAfterS) }),
    ...error.detail.headers,
  };
}

/** Whatever was thrown, as an error a caller may see: everything unknown becomes `internal`, its text dropped. */
export function publicError(thrown: unknown): EpithreError {
  if (thrown instanceof EpithreError) return thrown;
  return new EpithreError("internal", "Cannot answer this request: an unexpected fault on our side. Try again.");
}

export function errorResponse(thrown: unknown): Response {
  const error = publicError(thrown);
  const body = errorBody(error);
  // With its length the answer is whole at once, also while the rest of an unread body is thrown away.
  const headers = { ...errorHeaders(error), "content-length": String(Buffer.byteLength(body)) };
  return new Response(body, { status: error.status, headers });
}
