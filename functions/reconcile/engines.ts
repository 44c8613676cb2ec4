/** The engines' counters, read over the private network (path.selfhosted). */
import { hash } from "node:crypto";
import { Agent, request } from "undici";
import { type BackendConfig, pathPrefixOf } from "#shared/backends.ts";
import { createPrivateLookup } from "#shared/private-address.ts";
import { readCounters, type TokenCounters } from "./engine-counters.ts";

/** Milliseconds for one engine's answer. */
const answerTimeoutMs = 5_000;
/** Bytes. vLLM's metrics of one engine with its histograms are about 100 KB. */
const answerBytesMax = 8 * 1024 * 1024;

export interface Reading extends TokenCounters {
  /** A digest of the engine's address. */
  backend: string;
  model: string;
}

export interface Readings {
  counters: Reading[];
  /** Engines that did not answer. */
  missing: number;
}

export interface Engines {
  read(): Promise<Readings>;
  close(): Promise<void>;
}

/** Only models whose every engine counts: of one that an engine without counters serves too, nothing can be compared. */
export function createEngines(backends: BackendConfig[]): Engines {
  const agent = new Agent({ connect: { timeout: answerTimeoutMs, lookup: createPrivateLookup() } });
  const counting = backends.filter(({ type }) => type !== "openai");
  const silent = backends.filter(({ type }) => type === "openai");
  const isMeasured = (model: string) => !silent.some(({ models }) => models === null || models.includes(model));

  async function readOne(config: BackendConfig): Promise<Reading[] | undefined> {
    try {
      const { statusCode, body } = await request(`${new URL(config.url).origin}${pathPrefixOf(config)}/metrics`, {
        dispatcher: agent,
        signal: AbortSignal.timeout(answerTimeoutMs),
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > answerBytesMax) return undefined;
        chunks.push(chunk);
      }
      if (statusCode !== 200) return undefined;
      const backend = idOf(config);
      return [...readCounters(Buffer.concat(chunks).toString("utf8"))]
        .filter(([model]) => isMeasured(model))
        .map(([model, counters]) => ({ backend, model, ...counters }));
    } catch {
      return undefined;
    }
  }

  return {
    async read() {
      const all = await Promise.all(counting.map(readOne));
      return { counters: all.flatMap((one) => one ?? []), missing: all.filter((one) => one === undefined).length };
    },
    close: () => agent.destroy(),
  };
}

/** Stays the same when the list of engines changes its order, and tells nobody the address. */
function idOf({ url }: BackendConfig): string {
  return hash("sha256", url).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
}
