/** What another process says of itself, such as its metrics: text of a bounded length, in a bounded time. */
import { type Dispatcher, request } from "undici";

export interface FetchLimits {
  timeoutMs: number;
  bytesMax: number;
}

/** The text of an answer 200 to GET; undefined for any other, for one that is too large or comes too late, and for none. */
export async function fetchText(url: string, dispatcher: Dispatcher, { timeoutMs, bytesMax }: FetchLimits): Promise<string | undefined> {
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(timeoutMs) });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) return undefined;
      chunks.push(chunk);
    }
    return statusCode === 200 ? Buffer.concat(chunks).toString("utf8") : undefined;
  } catch {
    return undefined;
  }
}
