/** The inference engines, as an operator names them in the setting `backends`. */
import { z } from "zod";
import { jsonSetting } from "./config.ts";
import { mayBePrivate } from "./private-address.ts";

/**
 * `models: null` takes every model of the price book. `type` decides which fields the engine may see: `vllm` and
 * `simulated` take vLLM's extensions, report usage in every chunk and count their tokens on `/metrics`; `openai` takes
 * OpenAI's own fields only.
 */
const Backend = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).refine(mayBePrivate, "names a backend on a public address: engines stand on the private network"),
  models: z.array(z.string()).nullable(),
  type: z.enum(["vllm", "openai", "simulated"]),
});
export type BackendConfig = z.output<typeof Backend>;

export const backendsSetting = jsonSetting(z.array(Backend).min(1).max(64));

/** What stands before an engine's paths: its URL may end in `/v1` or have a prefix. */
export function pathPrefixOf({ url }: BackendConfig): string {
  return new URL(url).pathname.replace(/\/(v1\/?)?$/, "");
}
