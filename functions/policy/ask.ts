/** Asks functions how they are, in little time and of little text. */
import { Agent } from "undici";
import { fetchText } from "#shared/fetch-text.ts";
import type { Ask } from "./status.ts";

/** Readiness is a process's own state, and answered at once; the proxy's metrics of many models are some ten thousand bytes. */
const limits = { timeoutMs: 1_000, bytesMax: 1024 * 1024 };

export function createAsk(): { ask: Ask; close(): Promise<void> } {
  const { timeoutMs } = limits;
  const dispatcher = new Agent({ connect: { timeout: timeoutMs }, headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
  return { ask: (url) => fetchText(url, dispatcher, limits), close: () => dispatcher.destroy() };
}
