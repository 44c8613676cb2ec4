/**
 * `npm run bench [-- --quick] [-- --json]`: the proxy's full path beside a bare pass-through, on the same simulated
 * backend, in the same run and in alternating order. Nothing is switched off: what the database is set to is printed,
 * and the usage events stored are counted against the requests done.
 */
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { startStack, type OwnedStack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";
import type { LoadTask } from "./load.ts";
import { load, residentBytes, startPassThrough } from "./processes.ts";
import { createSay, type Goal, median, reportOutcome } from "./report.ts";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean" }, json: { type: "boolean" } } });

const rounds = flags.quick ? 1 : 3;
const durationMs = flags.quick ? 2_000 : 5_000;
const warmupMs = flags.quick ? 500 : 1_500;
const connectionCounts = [1, 16, 128];
const openStreams = 1_000;
/**
 * Share of the machine that must be busy at 16 and 128 connections for a comparison to count: on two processors a
 * single-threaded server that is the bottleneck keeps one busy, and load and backend half of the other.
 */
const busyShareMin = 0.7;
/** The backend alone must be at least this many times as fast as the pass-through before it. */
const backendFactorMin = 1.3;
/** Resident memory may grow by this between the first and the last round under the same load. */
const growthMax = 1.25;

const bodies = {
  JSON: JSON.stringify({ model: "simulated-chat", messages: [{ role: "user", content: "What is the capital of Indonesia?" }], max_tokens: 20 }),
  stream: JSON.stringify({
    model: "simulated-chat",
    // Each of the 20 chunks is a write of its own: an engine sends a token when it has it.
    messages: [{ role: "user", content: "[[simulate flush]] What is the capital of Indonesia?" }],
    max_tokens: 20,
    stream: true,
  }),
};
type Mode = keyof typeof bodies;

interface Sample {
  target: string;
  mode: Mode;
  connections: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  firstByteP50Ms: number;
  busyShare: number;
  failed: number;
  succeeded: number;
}

const say = createSay(flags.json);

async function main(): Promise<void> {
  const stack = await startStack();
  const bare = await startPassThrough(stack.engine.url);
  try {
    await describeDatabase(stack);
    const headers = { authorization: `Bearer ${stack.apiKey}` };
    const targets = {
      backend: { port: portOf(stack.engine.url), headers: {} },
      bare: { port: bare.port, headers: {} },
      epithre: { port: Number(stack.environmentOf("proxy").PORT), headers },
      "epithre through the gateway": { port: portOf(stack.url), headers },
    };
    // On a proxy that has done nothing yet: later, streams would fill memory that load has left free.
    const perStreamKb = await memoryPerStream(stack);
    const storedBefore = await storedNow(stack.sql);
    const samples = await measureAll(targets);
    const stored = await storedMatches(stack, samples, storedBefore);
    const growth = await memoryGrowth(stack, targets.epithre);
    report(samples, stored, growth, perStreamKb);
  } finally {
    bare.stop();
    await stack.stop();
  }
}

const portOf = (url: string) => Number(new URL(url).port);

async function describeDatabase({ sql }: OwnedStack): Promise<void> {
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await sql`select current_setting(${name}) as value`;
    say(`${name} = ${row!.value}`);
    if (row!.value !== "on") throw new Error(`Cannot compare: ${name} is off`);
  }
}

type Targets = Record<string, { port: number; headers: Record<string, string> }>;

async function measureAll(targets: Targets): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const mode of ["JSON", "stream"] as const) {
      for (const connections of connectionCounts) {
        // Every other round goes the other way, so that a drift of the machine's speed cancels out.
        const names = round % 2 === 0 ? Object.keys(targets) : Object.keys(targets).reverse();
        for (const target of names) samples.push(await measure(target, targets[target]!, mode, connections));
      }
    }
    say(`round ${round + 1} of ${rounds} done`);
  }
  return samples;
}

async function measure(target: string, { port, headers }: Targets[string], mode: Mode, connections: number): Promise<Sample> {
  const task: LoadTask = { port, path: "/v1/chat/completions", headers, body: bodies[mode], connections, warmupMs, durationMs };
  return { target, mode, connections, ...(await load(task)) };
}

/** Every request that a caller saw complete is stored once: nothing was left out to be fast. */
async function storedMatches({ sql }: OwnedStack, samples: Sample[], storedBefore: number): Promise<{ done: number; stored: number }> {
  const done = samples.filter(({ target }) => target.startsWith("epithre")).reduce((sum, { succeeded }) => sum + succeeded, 0);
  let stored = 0;
  await waitFor("the last usage events", async () => {
    stored = (await storedNow(sql)) - storedBefore;
    return stored >= done;
  }).catch(() => {});
  return { done, stored };
}

async function storedNow(sql: OwnedStack["sql"]): Promise<number> {
  const [row] = await sql<{ stored: number }[]>`select count(*)::int as stored from usage_events where status = 200`;
  return row!.stored;
}

async function memoryGrowth(stack: OwnedStack, target: Targets[string]): Promise<number> {
  const spans = flags.quick ? 3 : 6;
  const readings: number[] = [];
  for (let span = 0; span < spans; span += 1) {
    await measure("epithre", target, "stream", 128);
    readings.push(residentBytes(stack.pidOf("proxy")!));
  }
  return readings.at(-1)! / readings[0]!;
}

/** Kilobytes of the proxy's memory for each stream that is open and waits. */
async function memoryPerStream(stack: OwnedStack): Promise<number> {
  const port = Number(stack.environmentOf("proxy").PORT);
  const body = JSON.stringify({
    model: "simulated-chat",
    messages: [{ role: "user", content: "[[simulate tokens=500 interval_ms=2000]] Count." }],
    max_tokens: 500,
    stream: true,
  });
  const before = residentBytes(stack.pidOf("proxy")!);
  const sockets: Socket[] = [];
  let answering = 0;
  for (let index = 0; index < openStreams; index += 1) {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${stack.apiKey}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
    socket.once("data", () => (answering += 1));
    socket.on("error", () => {});
    sockets.push(socket);
    if (index % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await waitFor("all streams to begin", () => answering === openStreams, 60_000);
  const after = residentBytes(stack.pidOf("proxy")!);
  for (const socket of sockets) socket.destroy();
  return (after - before) / 1024 / openStreams;
}

function report(samples: Sample[], stored: { done: number; stored: number }, growth: number, perStreamKb: number): void {
  const of = (target: string, mode: Mode, connections: number) =>
    samples.filter((sample) => sample.target === target && sample.mode === mode && sample.connections === connections);
  const middle = (target: string, mode: Mode, connections: number, figure: (sample: Sample) => number) =>
    median(of(target, mode, connections).map(figure));
  const goals: Goal[] = [];
  const voids: string[] = [];

  for (const mode of ["JSON", "stream"] as const) {
    say(`\n${mode}${mode === "stream" ? " (20 chunks)" : ""}`);
    say(`${"".padEnd(29)}${"conns".padStart(6)}${"req/s".padStart(9)}${"of bare".padStart(9)}${"p50 ms".padStart(9)}${"p99 ms".padStart(9)}${"first ms".padStart(10)}${"busy".padStart(7)}`);
    for (const connections of connectionCounts) {
      const bareRate = middle("bare", mode, connections, (sample) => sample.perSecond);
      for (const target of ["backend", "bare", "epithre", "epithre through the gateway"]) {
        const figure = (read: (sample: Sample) => number) => middle(target, mode, connections, read);
        const rate = figure((sample) => sample.perSecond);
        say(
          target.padEnd(29) +
            String(connections).padStart(6) +
            rate.toFixed(0).padStart(9) +
            (rate / bareRate).toFixed(2).padStart(9) +
            figure((sample) => sample.p50Ms).toFixed(2).padStart(9) +
            figure((sample) => sample.p99Ms).toFixed(2).padStart(9) +
            figure((sample) => sample.firstByteP50Ms).toFixed(2).padStart(10) +
            `${(figure((sample) => sample.busyShare) * 100).toFixed(0)} %`.padStart(7),
        );
      }
      if (connections === 1) continue;
      const ratio = middle("epithre", mode, connections, (sample) => sample.perSecond) / bareRate;
      goals.push({ name: `${mode}_${connections}_of_bare_at_least`, value: ratio, goal: 0.75, holds: ratio >= 0.75 });
      for (const target of ["bare", "epithre"]) {
        const busy = middle(target, mode, connections, (sample) => sample.busyShare);
        if (busy < busyShareMin) voids.push(`the machine was ${(busy * 100).toFixed(0)} % busy (${target}, ${mode}, ${connections})`);
      }
      const backendRate = middle("backend", mode, connections, (sample) => sample.perSecond);
      if (backendRate < backendFactorMin * bareRate) voids.push(`the backend is slow (${mode}, ${connections})`);
    }
  }
  const added = middle("epithre", "stream", 16, (sample) => sample.firstByteP50Ms) - middle("bare", "stream", 16, (sample) => sample.firstByteP50Ms);
  for (const [name, value, goal] of [
    ["added_first_byte_p50_ms_at_16_below", added, 0.5],
    ["memory_kb_per_open_stream_below", perStreamKb, 60],
    ["memory_growth_under_load_below", growth, growthMax],
  ] as const) {
    goals.push({ name, value, goal, holds: value < goal });
  }

  const failed = samples.reduce((sum, sample) => sum + sample.failed, 0);
  const wrong: string[] = [];
  if (failed > 0) wrong.push(`${failed} requests failed`);
  if (stored.done !== stored.stored) wrong.push(`${stored.stored} usage events stored for ${stored.done} requests done`);
  say(`\nusage events stored: ${stored.stored}, requests done: ${stored.done}`);
  reportOutcome({ goals, voids, wrong, samples }, flags.json);
}

await main();
