/** `/_/health`, `/_/ready` and `/_/metrics`: what the platform asks of a process, never of a database behind it. */
import type { IncomingMessage, ServerResponse } from "node:http";

export interface State {
  readonly draining: boolean;
  metrics?(): Promise<string>;
}

export function isOwnRoute({ url }: IncomingMessage): boolean {
  return url!.startsWith("/_/");
}

export async function answerOwnRoute(message: IncomingMessage, response: ServerResponse, state: State): Promise<void> {
  message.resume();
  const path = message.url!.split("?", 1)[0]!;
  const answers: Record<string, (() => Promise<number | string>) | undefined> = {
    "/_/health": async () => 200,
    "/_/ready": async () => (state.draining ? 503 : 200),
    "/_/metrics": state.metrics,
  };
  const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
  if (!answer || message.method !== "GET") {
    response.writeHead(answer ? 405 : 404).end();
    return;
  }
  try {
    const given = await answer();
    if (typeof given === "number") response.writeHead(given).end();
    else response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(given);
  } catch {
    response.writeHead(500).end();
  }
}
