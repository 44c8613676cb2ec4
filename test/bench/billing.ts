/**
 * `npm run bench:billing [-- --quick] [-- --json]`: settlements and leases beside raw inserts of the same rows in the
 * same batches, in the same run and in alternating order; and the same in a database that has stored 90 days of usage.
 * Nothing is switched off: what the database is set to is printed, and the rows and the money stored are counted.
 *
 * Batches of leases are those that billing makes of the calls of several replicas (functions/billing/lease-moves.ts); raw
 * inserts are gathered by the same code. Batches of one hot account follow each other: it has one balance. Raw inserts
 * would not have to, so how fast they are on all connections is printed too.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { uuidv7 } from "#shared/ids.ts";
import { type Bench, type BenchDatabase, startDatabases } from "./billing-database.ts";
import {
  insertingEvents, insertingGathered, insertingLeases, leasing, settling, type Load, type Transactions, type Work,
} from "./billing-work.ts";
import { createSay, type Goal, median, reportOutcome } from "./report.ts";

const { values: flags } = parseArgs({ options: { quick: { type: "boolean" }, json: { type: "boolean" } } });

const rounds = flags.quick ? 3 : 9;
const durationMs = flags.quick ? 400 : 2_000;
const warmupMs = flags.quick ? 100 : 500;
const stored = flags.quick ? { events: 1_000_000, accounts: 10_000 } : { events: 10_000_000, accounts: 100_000 };
const accountsUnderLoad = 1_000;
/** Connections of one usage-record or billing, each with one call under way, as if from a replica of its own. */
const workers = 4;
/** Replicas that move the hot account's lease at once, each in a call of its own. */
const hotReplicas = 16;
/** Settlements in a call, and leases in one: what a replica gathers under load. */
const batch = 64;
/** Of raw inserts that a product's rate must reach. */
const ofRawMin = 0.5;
/** Times that an empty database may be faster than a full one. */
const growthMax = 1.2;
/** Share of the time that this process may be busy beside raw inserts: beyond it, not Postgres is measured. */
const loaderBusyMax = 0.9;

interface Sample {
  work: string;
  perSecond: number;
  loaderBusy: number;
}

const say = createSay(flags.json);

const loads: Record<string, Load> = {
  "settlements, one hot account": { workers, batch, accounts: 1 },
  "settlements, 1,000 accounts": { workers, batch, accounts: accountsUnderLoad },
  "leases, one hot account": { workers: hotReplicas, batch: 1, accounts: 1 },
  "leases, 1,000 accounts": { workers, batch, accounts: accountsUnderLoad },
};

/** Raw inserts of the hot account's batches that do not wait for each other. */
const besideHot = "hot account, raw on all connections";

async function main(): Promise<void> {
  say(`storing ${stored.events.toLocaleString("en")} usage events and ${stored.accounts.toLocaleString("en")} accounts ...`);
  const bench = await startDatabases({ connections: workers, accountsUnderLoad, stored });
  try {
    await describeDatabase(bench);
    const before = await Promise.all([bookOf(bench.empty), bookOf(bench.full)]);
    const settled = { [bench.empty.name]: 0, [bench.full.name]: 0 };
    const moved: Transactions = { count: 0, rows: 0 };
    const samples = await measureAll(await allWork(bench, settled, moved));
    say(`one hot account's lease moved on ${hotReplicas} replicas at once: ${(moved.rows / moved.count).toFixed(1)} rows in a transaction`);
    const wrong = [
      ...(await mistakes(bench.empty, before[0]!, settled[bench.empty.name]!)),
      ...(await mistakes(bench.full, before[1]!, settled[bench.full.name]!)),
    ];
    report(samples, wrong);
  } finally {
    await bench.stop();
  }
}

async function describeDatabase({ full }: Bench): Promise<void> {
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await full.owner<{ value: string }[]>`select current_setting(${name}) as value`;
    say(`${name} = ${row!.value}`);
    if (row!.value !== "on") throw new Error(`Cannot compare: ${name} is off`);
  }
  const [row] = await full.owner<{ events: bigint; accounts: bigint; size: string; slices: bigint }[]>`
    select
      (select count(*) from usage_events) as events, (select count(*) from accounts) as accounts,
      (select count(*) from pg_inherits where inhparent = 'usage_events'::regclass) as slices,
      pg_size_pretty(pg_database_size(current_database())) as size
  `;
  say(`stored: ${row!.events} usage events in ${row!.slices} slices, ${row!.accounts} accounts, ${row!.size}`);
  say(`${workers} connections; ${batch} rows in a call, but 1 where one hot account's lease moves`);
}

/** Each kind of work in the empty and in the full database, and the raw inserts beside it. */
async function allWork({ empty, full }: Bench, settled: Record<string, number>, hot: Transactions): Promise<Map<string, Work>> {
  const works = new Map<string, Work>();
  for (const [name, load] of Object.entries(loads)) {
    const settles = name.startsWith("settlements");
    const transactions = load.accounts === 1 ? hot : { count: 0, rows: 0 };
    works.set(`${name}: raw`, settles ? insertingEvents(empty, load) : insertingGathered(empty, load));
    for (const database of [empty, full]) {
      const work = settles
        ? counted(await settling(database, load), (rows) => (settled[database.name]! += rows))
        : leasing(database, load, transactions);
      works.set(`${name}: ${database === empty ? "empty" : "full"}`, work);
    }
  }
  works.set(besideHot, insertingLeases(empty, { workers, batch: hotReplicas, accounts: 1 }));
  return works;
}

function counted(work: Work, count: (rows: number) => void): Work {
  return async (worker) => {
    const rows = await work(worker);
    count(rows);
    return rows;
  };
}

async function measureAll(works: Map<string, Work>): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // Every other round goes the other way, so that a drift of the machine's speed cancels out.
    const names = round % 2 === 0 ? [...works.keys()] : [...works.keys()].reverse();
    for (const name of names) samples.push(await measure(name, works.get(name)!, callers(name)));
    say(`round ${round + 1} of ${rounds} done`);
  }
  return samples;
}

const callers = (name: string) => loads[name.split(":")[0]!]?.workers ?? workers;

async function measure(name: string, work: Work, callers: number): Promise<Sample> {
  const countFromMs = performance.now() + warmupMs;
  const stopMs = countFromMs + durationMs;
  let rows = 0;
  let busyBefore: ReturnType<typeof performance.eventLoopUtilization> | undefined;
  async function run(worker: number): Promise<void> {
    while (performance.now() < stopMs) {
      const done = await work(worker);
      const nowMs = performance.now();
      if (nowMs < countFromMs || nowMs >= stopMs) continue;
      busyBefore ??= performance.eventLoopUtilization();
      rows += done;
    }
  }
  await Promise.all(Array.from({ length: callers }, (_, worker) => run(worker)));
  const loaderBusy = performance.eventLoopUtilization(busyBefore).utilization;
  return { work: name, perSecond: rows / (durationMs / 1_000), loaderBusy };
}

interface Book {
  /** Every usage event from here on is the benchmark's. */
  fromId: string;
  consumedMicro: bigint;
}

async function bookOf({ owner }: BenchDatabase): Promise<Book> {
  return { fromId: uuidv7(Date.now() + 1), consumedMicro: await consumedMicro(owner) };
}

async function consumedMicro(owner: BenchDatabase["owner"]): Promise<bigint> {
  const [row] = await owner<{ micro: string }[]>`
    select (sum(consumed_micro) + (select coalesce(sum(consumed_micro), 0) from leases))::text as micro from balances
  `;
  return BigInt(row!.micro);
}

/** Every settlement that was answered is stored once and debited once: nothing was left out to be fast. */
async function mistakes({ name, owner }: BenchDatabase, before: Book, settled: number): Promise<string[]> {
  const [row] = await owner<{ events: bigint; cost: string }[]>`
    select count(*) as events, coalesce(sum(cost_micro), 0)::text as cost from usage_events where id >= ${before.fromId}
  `;
  const debited = (await consumedMicro(owner)) - before.consumedMicro;
  say(`${name}: ${row!.events} usage events stored, ${settled} settlements answered; ${debited} micro-rupiah debited, ${row!.cost} charged`);
  const wrong: string[] = [];
  if (Number(row!.events) !== settled) wrong.push(`${row!.events} usage events stored for ${settled} settlements (${name})`);
  const [amiss] = await owner<{ accounts: bigint }[]>`
    select count(*) as accounts from balances b
    where leased_micro <> (select coalesce(sum(granted_micro), 0) from leases l where l.account_id = b.account_id)
  `;
  if (amiss!.accounts > 0n) wrong.push(`${amiss!.accounts} accounts whose leases are not what is leased (${name})`);
  if (debited !== BigInt(row!.cost)) wrong.push(`${debited} micro-rupiah debited for charges of ${row!.cost} (${name})`);
  return wrong;
}

function report(samples: Sample[], wrong: string[]): void {
  const figure = (work: string, read: (sample: Sample) => number) => median(samples.filter((sample) => sample.work === work).map(read));
  const rate = (work: string) => figure(work, ({ perSecond }) => perSecond);
  const goals: Goal[] = [];
  const voids: string[] = [];
  say(`\n${"rows/s".padEnd(32)}${"raw".padStart(10)}${"empty".padStart(10)}${"of raw".padStart(10)}${"full".padStart(10)}${"empty/full".padStart(12)}`);
  for (const name of Object.keys(loads)) {
    const [raw, empty, full] = [rate(`${name}: raw`), rate(`${name}: empty`), rate(`${name}: full`)];
    const [ofRaw, growth] = [empty / raw, empty / full];
    say(name.padEnd(32) + raw.toFixed(0).padStart(10) + empty.toFixed(0).padStart(10) + ofRaw.toFixed(2).padStart(10) + full.toFixed(0).padStart(10) + growth.toFixed(2).padStart(12));
    const key = name.replace(/\W+/g, "_");
    goals.push({ name: `${key}_of_raw_at_least`, value: ofRaw, goal: ofRawMin, holds: ofRaw >= ofRawMin });
    goals.push({ name: `${key}_empty_to_full_at_most`, value: growth, goal: growthMax, holds: growth <= growthMax });
    const busy = figure(`${name}: raw`, ({ loaderBusy }) => loaderBusy);
    if (busy > loaderBusyMax) voids.push(`the load generator was ${(busy * 100).toFixed(0)} % busy beside raw inserts (${name})`);
  }
  const hot = rate("leases, one hot account: empty");
  say(`${besideHot}: ${rate(besideHot).toFixed(0)} rows/s, of which the account's moves are ${(hot / rate(besideHot)).toFixed(2)}`);
  reportOutcome({ goals, voids, wrong, samples }, flags.json);
}

await main();
