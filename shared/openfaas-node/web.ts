/** A handler of web Requests and Responses under node:http: calls it, sends what it answers, turns faults into answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { send } from "./answer.ts";
import type { Settings } from "./options.ts";
import { bodyTooLarge, unexpectedFault, unreadableRequest } from "./refusals.ts";
import { announcedBytes, toRequest, type Incoming } from "./request.ts";

export function answerWith(handler: (request: Request) => Promise<Response>, settings: Settings) {
  const { bodyBytesMax, stallTimeoutMs, onError, log } = settings;

  return function answer(message: IncomingMessage, outgoing: ServerResponse): void {
    void answered(message, outgoing);
  };

  async function answered(message: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const caller = new AbortController();
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) caller.abort();
    });
    try {
      await send(await respond(message, caller.signal), message, outgoing, stallTimeoutMs);
    } catch {
      if (!outgoing.headersSent) return void send(unexpectedFault(), message, outgoing, stallTimeoutMs);
      // A caller that left makes anything fail; for one that is there, breaking off says that the body is not whole.
      if (!caller.signal.aborted) log({ at: "handler_failed", kind: "unexpected" });
      outgoing.destroy();
    }
  }

  async function respond(message: IncomingMessage, signal: AbortSignal): Promise<Response> {
    if (announcedBytes(message) > bodyBytesMax) return bodyTooLarge(bodyBytesMax);
    let incoming: Incoming;
    try {
      incoming = toRequest(message, bodyBytesMax, signal);
    } catch {
      return unreadableRequest();
    }
    const response = await called(incoming.request);
    if (!incoming.tooLarge) return response;
    // Whatever the handler made of a body that broke off: the limit is why.
    await response.body?.cancel();
    return bodyTooLarge(bodyBytesMax);
  }

  async function called(request: Request): Promise<Response> {
    try {
      return await handler(request);
    } catch (thrown) {
      return explained(thrown);
    }
  }

  function explained(thrown: unknown): Response {
    try {
      return onError?.(thrown) ?? unexpectedFault();
    } catch {
      return unexpectedFault();
    }
  }
}
