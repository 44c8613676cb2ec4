/** The command line of `npm start`. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ObjectStorePlace } from "./object-store.ts";

export interface StartOptions {
  /** Engines to use; none: the simulated backend. */
  backends: string[];
  /** Storage to use; none: the local one. */
  objectStore: ObjectStorePlace | undefined;
  /** 0 takes a free one. */
  port: number;
  dataDir: string;
  fresh: boolean;
  json: boolean;
  help: boolean;
}

export const help = `Runs Epithre on this machine: database, functions, gateway, schedule, mail sink, inference backend.

  npm start -- [options]

  --backend URL   an OpenAI-compatible engine (vLLM, llama.cpp, Ollama) instead of the simulated one; repeatable
  --object-store URL
                  S3-compatible storage instead of the local one: http://ACCESS-KEY:SECRET@127.0.0.1:9000/BUCKET
  --port N        port of the gateway on 127.0.0.1 (8080); 0 takes a free one
  --data DIR      folder for the database, secrets and mail (.epithre in the repository)
  --fresh         start empty: removes what a former start made in the folder
  --json          print one line of JSON when ready, and nothing else
  --help          show this

Ctrl-C stops everything; the next start finds the data again.
`;

const portDefault = "8080";

/** Throws one sentence that names the option that is wrong. */
export function readOptions(words: string[], appDir: string): StartOptions {
  const values = parse(words);
  return {
    backends: values.backend.map(readBackend),
    objectStore: values["object-store"] === undefined ? undefined : readObjectStore(values["object-store"]),
    port: readPort(values.port),
    dataDir: values.data ?? join(appDir, ".epithre"),
    fresh: values.fresh,
    json: values.json,
    help: values.help,
  };
}

function parse(words: string[]) {
  try {
    return parseArgs({
      args: words,
      options: {
        backend: { type: "string", multiple: true, default: [] },
        "object-store": { type: "string" },
        port: { type: "string", default: portDefault },
        data: { type: "string" },
        fresh: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (thrown) {
    const [problem] = (thrown as Error).message.split(/[.\n]/);
    throw wrong(problem!.charAt(0).toLowerCase() + problem!.slice(1));
  }
}

function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw wrong("--port takes a number from 0 to 65535");
  return port;
}

function readBackend(text: string): string {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) throw wrong("--backend takes a URL such as http://127.0.0.1:8000");
  return url.href;
}

function readObjectStore(text: string): ObjectStorePlace {
  const url = URL.parse(text);
  const [, bucket, ...more] = url?.pathname.split("/") ?? [];
  if (!url || !/^https?:$/.test(url.protocol) || !url.username || !url.password || !bucket || more.length > 0) {
    throw wrong("--object-store takes a URL such as http://ACCESS-KEY:SECRET@127.0.0.1:9000/BUCKET");
  }
  return { url: url.origin, bucket, login: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` };
}

function wrong(problem: string): Error {
  return new Error(`Cannot start: ${problem}; npm start -- --help shows the options`);
}
