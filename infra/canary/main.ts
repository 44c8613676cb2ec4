/** `npm run canary`: scans once and prints counts; for a schedule, or by hand. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { dataDirDefault } from "#infra/local/running-stack.ts";
import { readConfig, readText } from "./config.ts";
import { checkpoint, recordScan } from "./queries.ts";
import { exitCodeOf, rowOf, scan } from "./scan.ts";
import { storeOf } from "./stores.ts";

const help = `Sends random words through the public API, and searches every store for them.

  npm run canary -- [options]

  --config FILE   what to call and which stores to search (infra/canary/README.md)
  --data DIR      or the folder of a local stack that runs (.epithre in the repository)
  --help          show this

Prints one line of JSON with counts; nothing of what was found but the store and the disguise.
Ends with 0 when every store was searched and nothing found, 1 when something was found, 2 when a store could not be
searched or the scan could not run.
`;

function readOptions(args: string[]) {
  try {
    const options = { config: { type: "string" }, data: { type: "string", default: dataDirDefault }, help: { type: "boolean", default: false } } as const;
    return parseArgs({ args, options }).values;
  } catch {
    throw new Error("Cannot scan: an option is unknown or lacks its value; npm run canary -- --help shows them");
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  const config = readConfig(options.config ?? join(options.data, "canary", "config.json"));
  const report = await scan({
    api: { url: config.url, key: readText(config.apiKeyFile), email: config.email },
    stores: config.stores.map(storeOf),
    cannotSearch: config.cannotSearch,
    patienceMs: config.patienceSeconds * 1_000,
    async flush() {
      if (config.checkpointUrlFile) await checkpoint(readText(config.checkpointUrlFile));
    },
  });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (config.recordUrlFile) await recordScan(readText(config.recordUrlFile), rowOf(report));
  return exitCodeOf(report);
}

main().then(
  (code) => (process.exitCode = code),
  (thrown: unknown) => {
    const isOurs = thrown instanceof Error && thrown.message.startsWith("Cannot ");
    process.stderr.write(`${isOurs ? thrown.message : "Cannot scan: the API or a store does not answer"}\n`);
    process.exitCode = 2;
  },
);
