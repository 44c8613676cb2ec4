/**
 * `npm run bench:export [-- --quick] [-- --json]`: the usage log of an account with a million requests as CSV, beside
 * Postgres's own COPY TO of the same rows and columns in the same run and in alternating order; the same as a file that is
 * built in the background and downloaded; and the memory that the function takes for each. Another CSV reader counts what
 * came.
 */
import { hash } from "node:crypto";
import { get, type IncomingMessage } from "node:http";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { parse } from "csv-parse";
import { connect } from "#shared/db.ts";
import { startStack, type OwnedStack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";
import { fillUsage, type Filled } from "./export-rows.ts";
import { residentBytes } from "./processes.ts";
import { createSay, type Goal, goalLine, median } from "./report.ts";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean" }, json: { type: "boolean" } } });

const rows = flags.quick ? 100_000 : 1_000_000;
const rounds = flags.quick ? 2 : 7;
/** Of COPY TO that the streamed CSV must reach. */
const ofCopyMin = 0.5;
/** Megabytes of memory above those of an idle function. */
const memoryMbMax = 100;
/** Milliseconds between two looks at the function's memory. */
const lookMs = 20;

const columns = [
  "time", "request_id", "key_id", "model", "endpoint", "status", "prompt_tokens", "cached_tokens", "completion_tokens",
  "reasoning_tokens", "images", "cost_rupiah", "latency_ms", "price_version",
];

interface Sample {
  way: string;
  ms: number;
  bytes: number;
  /** Megabytes above idle; none for COPY. */
  memoryMb: number | null;
}

const say = createSay(flags.json);

async function main(): Promise<void> {
  const stack = await startStack();
  try {
    say(`storing ${rows.toLocaleString("en")} usage events of one account, and a tenth as many of others between them ...`);
    const filled = await fillUsage(stack.sql, rows);
    await measure(stack, { ...filled, key: await newKey(stack, filled.accountId) });
  } finally {
    await stack.stop();
  }
}

async function newKey(stack: OwnedStack, accountId: string): Promise<string> {
  const { key } = await stack.operator.createKey(accountId, { scopes: ["usage"] });
  return key;
}

async function measure(stack: OwnedStack, account: Filled & { key: string }): Promise<void> {
  const headers = { authorization: `Bearer ${account.key}` };
  const samples: Sample[] = [];

  const streaming = await freshFunction(stack, headers);
  say(`export takes ${megabytes(streaming.idleBytes).toFixed(0)} MB idle`);
  const ways: Record<string, () => Promise<number>> = {
    copy: () => copyTo(stack, account.accountId),
    csv: async () => bytesOf(await taken(`${streaming.origin}/v1/usage.csv`, headers)),
  };
  for (let round = 0; round < rounds; round += 1) {
    // Every other round goes the other way, so that a drift of the machine's speed cancels out.
    const names = round % 2 === 0 ? Object.keys(ways) : Object.keys(ways).reverse();
    for (const way of names) samples.push(await timed(way, streaming, ways[way]!));
  }
  const wrong = await mistakes(streaming.origin, headers, account);

  // What one way left of memory is not counted for the next.
  const building = await freshFunction(stack, headers);
  samples.push(await timed("build", building, () => buildFile(building.origin, headers)));
  const handing = await freshFunction(stack, headers);
  samples.push(await timed("download", handing, () => downloadFile(handing.origin, headers)));
  if (samples.at(-1)!.bytes !== samples.at(-2)!.bytes) wrong.push("the file that was downloaded is not as long as the one that was built");
  report(samples, wrong);
}

interface Running {
  origin: string;
  pid: number;
  idleBytes: number;
}

/** The function, started anew, after one small answer: what it takes for being in use at all is not counted. */
async function freshFunction(stack: OwnedStack, headers: Record<string, string>): Promise<Running> {
  const former = stack.pidOf("export")!;
  process.kill(former, "SIGTERM");
  const pid = await waitFor("export to start again", () => {
    const now = stack.pidOf("export");
    return now !== former && now;
  });
  const origin = `http://127.0.0.1:${stack.environmentOf("export").PORT}`;
  await waitFor("export to answer", () => taken(`${origin}/v1/usage.csv?from=9999-12-31`, headers).then(bytesOf, () => 0));
  return { origin, pid, idleBytes: residentBytes(pid) };
}

async function timed(way: string, { pid, idleBytes }: Running, work: () => Promise<number>): Promise<Sample> {
  let mostBytes = 0;
  const looks = setInterval(() => (mostBytes = Math.max(mostBytes, residentBytes(pid))), lookMs);
  const fromMs = performance.now();
  const bytes = await work();
  const ms = performance.now() - fromMs;
  clearInterval(looks);
  return { way, ms, bytes, memoryMb: way === "copy" ? null : megabytes(mostBytes - idleBytes) };
}

/** The same rows, columns and order, as Postgres writes them by itself. */
async function copyTo({ databaseUrl }: OwnedStack, accountId: string): Promise<number> {
  const sql = connect({ url: databaseUrl, connections: 1, statementTimeoutMs: 0 });
  try {
    // COPY takes no parameters; the id is ours.
    const stream = await sql
      .unsafe(
        `copy (
          select uuid_extract_timestamp(u.id) as time, u.id as request_id, u.key_id, m.name as model, u.endpoint, u.status,
            u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens, u.images,
            u.cost_micro * 0.000001 as cost_rupiah, u.latency_ms, u.price_version
          from usage_events u join models m on m.id = u.model_id
          where u.account_id = '${accountId}' order by u.id
        ) to stdout (format csv, header)`,
      )
      .readable();
    let bytes = 0;
    for await (const chunk of stream) bytes += (chunk as Buffer).length;
    return bytes;
  } finally {
    await sql.end();
  }
}

function taken(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { headers }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`Cannot go on: export answered ${response.statusCode}`));
    }).once("error", reject);
  });
}

async function bytesOf(response: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  return bytes;
}

async function post(url: string, headers: Record<string, string>, body: unknown) {
  const response = await fetch(url, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`Cannot go on: export answered ${response.status} to ${new URL(url).pathname}`);
  return (await response.json()) as Record<string, string>;
}

interface FileStatus {
  id: string;
  status: string;
  bytes: number;
}

/** From asking to the ready file, with the schedule called as often as it takes. */
async function buildFile(origin: string, headers: Record<string, string>): Promise<number> {
  const { id } = await post(`${origin}/v1/usage/exports`, headers, {});
  for (;;) {
    await post(`${origin}/`, {}, {});
    const file = (await (await fetch(`${origin}/v1/usage/exports/${id}`, { headers })).json()) as FileStatus;
    if (file.status === "ready") return file.bytes;
    if (file.status === "failed") throw new Error("Cannot go on: the file could not be built");
  }
}

async function downloadFile(origin: string, headers: Record<string, string>): Promise<number> {
  const { data } = (await (await fetch(`${origin}/v1/usage/exports`, { headers })).json()) as { data: FileStatus[] };
  const { path } = await post(`${origin}/v1/usage/exports/${data[0]!.id}/link`, headers, {});
  return bytesOf(await taken(origin + path, {}));
}

/** What another reader finds in the CSV that is not as it was stored. */
async function mistakes(origin: string, headers: Record<string, string>, { costMicro, ids }: Filled): Promise<string[]> {
  const response = await taken(`${origin}/v1/usage.csv`, headers);
  const reader = response.pipe(parse({ columns: true, recordDelimiter: "\r\n" }));
  const digest: string[] = [];
  let [found, cost, named] = [0, 0n, ""];
  for await (const record of reader as AsyncIterable<Record<string, string>>) {
    if (found === 0) named = Object.keys(record).join(",");
    found += 1;
    cost += BigInt(record.cost_rupiah!.replace(".", ""));
    digest.push(record.request_id!);
  }
  const wrong: string[] = [];
  if (named !== columns.join(",")) wrong.push(`the columns are ${named}`);
  if (found !== rows) wrong.push(`${found} rows came, ${rows} were stored`);
  if (cost !== costMicro) wrong.push(`the rows cost ${cost}, ${costMicro} was stored`);
  if (hash("sha256", digest.join("")) !== ids) wrong.push("the ids are not those that were stored, in their order");
  return wrong;
}

const megabytes = (bytes: number) => bytes / 1024 / 1024;

function report(samples: Sample[], wrong: string[]): void {
  const of = (way: string) => samples.filter((sample) => sample.way === way);
  for (const way of ["copy", "csv", "build", "download"]) {
    const ms = median(of(way).map((sample) => sample.ms));
    const memory = Math.max(...of(way).map(({ memoryMb }) => memoryMb ?? 0));
    say(`${way.padEnd(9)} ${(rows / (ms / 1_000)).toFixed(0).padStart(9)} rows/s  ${ms.toFixed(0).padStart(6)} ms  ${memory.toFixed(0).padStart(4)} MB above idle`);
  }
  // Pairs of the same round: what else the machine does meets both.
  const ofCopy = median(of("csv").map(({ ms }, round) => of("copy")[round]!.ms / ms));
  const memory = (way: string) => Math.max(...of(way).map(({ memoryMb }) => memoryMb!));
  const goals: Goal[] = [
    { name: "csv_of_copy_at_least", value: ofCopy, goal: ofCopyMin, holds: ofCopy >= ofCopyMin },
    ...["csv", "build", "download"].map((way) => ({ name: `${way}_mb_above_idle_at_most`, value: memory(way), goal: memoryMbMax, holds: memory(way) <= memoryMbMax })),
  ];
  for (const goal of goals) say(goalLine(goal, 2));
  for (const reason of wrong) console.error(`WRONG: ${reason}`);
  if (flags.json) console.log(`${JSON.stringify({ samples })}\n${JSON.stringify({ goals })}`);
  // A machine that is busy with other things makes a time of no use, not the product wrong.
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

await main();
