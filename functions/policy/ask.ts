/** Asks functions how they are, in little time and of little text. */
import { Agent, request } from "undici";
import type { Ask } from "./status.ts";

/** Milliseconds: readiness is a process's own state, and answered at once. */
const answerTimeoutMs = 1_000;
/** Bytes. The proxy's metrics of many models are some ten thousand. */
const answerBytesMax = 1024 * 1024;

export function createAsk(): { ask: Ask; close(): Promise<void> } {
  const dispatcher = new Agent({ connect: { timeout: answerTimeoutMs }, headersTimeout: answerTimeoutMs, bodyTimeout: answerTimeoutMs });
  return {
    async ask(url) {
      try {
        const { statusCode, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(answerTimeoutMs) });
        const chunks: Buffer[] = [];
        let bytes = 0;
        for await (const chunk of body as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          if (bytes > answerBytesMax) return undefined;
          chunks.push(chunk);
        }
        return statusCode === 200 ? Buffer.concat(chunks).toString("utf8") : undefined;
      } catch {
        return undefined;
      }
    },
    close: () => dispatcher.destroy(),
  };
}
