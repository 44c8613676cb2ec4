/** The runtime's own refusals, as OpenAI's error object: callers' SDKs parse nothing else. */

function refusal(status: number, type: string, code: string, message: string): Response {
  const text = JSON.stringify({ error: { message, type, param: null, code } });
  // With its length the answer is whole at once, also while the rest of an unread body is thrown away.
  return new Response(text, { status, headers: { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) } });
}

export function unexpectedFault(): Response {
  return refusal(500, "server_error", "internal_error", "Cannot answer this request: an unexpected fault on our side. Try again.");
}

export function bodyTooLarge(bodyBytesMax: number): Response {
  return refusal(413, "invalid_request_error", "request_too_large", `Cannot take this body: the limit is ${bodyBytesMax} bytes`);
}

export function unreadableRequest(): Response {
  return refusal(400, "invalid_request_error", "invalid_request", "Cannot read this request: its method or path is none that a function takes");
}

export function leaving(): Response {
  const answer = refusal(503, "server_error", "service_unavailable", "Cannot take new requests: this process is about to end. Try again.");
  answer.headers.set("retry-after", "1");
  return answer;
}
