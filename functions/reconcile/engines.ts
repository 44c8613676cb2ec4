/** The engines' counters, read over the private network (path.selfhosted). */
import { hash } from "node:crypto";
import { Agent } from "undici";
import { type BackendConfig, pathPrefixOf } from "#shared/backends.ts";
import { fetchText } from "#shared/fetch-text.ts";
import { createPrivateLookup } from "#shared/private-address.ts";
import { readCounters, type TokenCounters } from "./engine-counters.ts";

/** Of one engine's answer: vLLM's metrics with their histograms are about 100 KB. */
const limits = { timeoutMs: 5_000, bytesMax: 8 * 1024 * 1024 };

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
  const agent = new Agent({ connect: { timeout: limits.timeoutMs, lookup: createPrivateLookup() } });
  const counting = backends.filter(({ type }) => type !== "openai");
  const silent = backends.filter(({ type }) => type === "openai");
  const isMeasured = (model: string) => !silent.some(({ models }) => models === null || models.includes(model));

  async function readOne(config: BackendConfig): Promise<Reading[] | undefined> {
    const text = await fetchText(`${new URL(config.url).origin}${pathPrefixOf(config)}/metrics`, agent, limits);
    if (text === undefined) return undefined;
    const backend = idOf(config);
    return [...readCounters(text)]
      .filter(([model]) => isMeasured(model))
      .map(([model, counters]) => ({ backend, model, ...counters }));
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
