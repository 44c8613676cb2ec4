import { expect, test } from "vitest";
import { EpithreError, errorBody, errorHeaders, errorResponse, publicError, type ErrorKind } from "#shared/errors.ts";

/** What OpenAI's SDKs make of an error: its class follows from the status, `err.code` and `err.type` from the body. */
const contract: [ErrorKind, number, string, string | null][] = [
  ["invalid_request", 400, "invalid_request_error", null],
  ["invalid_json", 400, "invalid_request_error", "invalid_json"],
  ["context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"],
  ["invalid_api_key", 401, "invalid_request_error", "invalid_api_key"],
  ["insufficient_quota", 402, "insufficient_quota", "insufficient_quota"],
  ["missing_scope", 403, "invalid_request_error", "insufficient_permissions"],
  ["model_not_found", 404, "invalid_request_error", "model_not_found"],
  ["method_not_allowed", 405, "invalid_request_error", "method_not_allowed"],
  ["conflict", 409, "invalid_request_error", "conflict"],
  ["body_too_large", 413, "invalid_request_error", "request_too_large"],
  ["rate_limit_exceeded", 429, "rate_limit_error", "rate_limit_exceeded"],
  ["internal", 500, "server_error", "internal_error"],
  ["backend_failed", 502, "server_error", "backend_error"],
  ["unavailable", 503, "server_error", "service_unavailable"],
  ["backend_timeout", 504, "server_error", "backend_timeout"],
];

test.each(contract)("%s is answered with %i, %s and %s", async (kind, status, type, code) => {
  const response = errorResponse(new EpithreError(kind, "Cannot do this: a reason"));
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/json");
  const text = await response.text();
  expect(JSON.parse(text)).toEqual({ error: { message: "Cannot do this: a reason", type, param: null, code } });
  expect(response.headers.get("content-length")).toBe(String(text.length));
});

test("errorBody() names the field, errorHeaders() the seconds to wait and what else the error has", () => {
  const error = new EpithreError("unavailable", "Cannot answer now: away", {
    param: "model",
    retryAfterS: 2,
    headers: { "x-should-retry": "true" },
  });
  expect(JSON.parse(errorBody(error))).toMatchObject({ error: { param: "model" } });
  expect(errorHeaders(error)).toEqual({ "content-type": "application/json", "retry-after": "2", "x-should-retry": "true" });
});

test("errorHeaders() says that a caller may come back at once, if so", () => {
  expect(errorHeaders(new EpithreError("rate_limit_exceeded", "", { retryAfterS: 0 }))).toMatchObject({ "retry-after": "0" });
});

test.each([new Error("canary"), new SyntaxError('Unexpected token "canary"'), "canary", { message: "canary", detail: "canary" }, undefined])(
  "publicError() says nothing of what it does not know: %s (content.none)",
  (thrown) => {
    const error = publicError(thrown);
    expect(error.kind).toBe("internal");
    expect(errorBody(error) + JSON.stringify(errorHeaders(error))).not.toContain("canary");
    expect(error.cause).toBeUndefined();
  },
);

test("publicError() leaves what it knows as it is", () => {
  const error = new EpithreError("model_not_found", "Cannot find this model: it is not in the price book");
  expect(publicError(error)).toBe(error);
});
