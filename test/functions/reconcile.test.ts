import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startSimulatedBackend, type SimulatedBackend } from "#infra/local/simulated-backend/backend.ts";
import { connect, type Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import type { LogLine } from "#shared/log.ts";
import { readReconciliation } from "../../functions/admin/queries.ts";
import { readCounters } from "../../functions/reconcile/engine-counters.ts";
import { createEngines, type Readings } from "../../functions/reconcile/engines.ts";
import { createHandler } from "../../functions/reconcile/handler.ts";
import { createMetrics } from "../../functions/reconcile/metrics.ts";
import { type Captured, readCaptured, recordCounters, settleReconciliations } from "../../functions/reconcile/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import type { Settlement } from "../../functions/usage-record/schema.ts";
import { addModel, openAccount, settlement } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const minuteMs = 60_000;

describe("readCounters()", () => {
  test("reads vLLM's counters by model, of several engines together, whatever else is there", () => {
    const text = `# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="org/a-1.5"} 1.25e+06
vllm:prompt_tokens_total{engine="1",model_name="org/a-1.5"} 5.0
vllm:generation_tokens_total{model_name="b",engine="0"} 7
vllm:generation_tokens_created{engine="0",model_name="b"} 1.7e+09
vllm:prompt_tokens_total{engine="0",model_name="c"} NaN
vllm:prompt_tokens_total{engine="0",model_name="d"} -1
vllm:prompt_tokens_total{engine="0"} 9
other:vllm:prompt_tokens_total{model_name="b"} 9
`;
    expect([...readCounters(text)]).toEqual([
      ["org/a-1.5", { promptTokens: 1_250_005, completionTokens: 0 }],
      ["b", { promptTokens: 0, completionTokens: 7 }],
    ]);
  });
});

describe("createEngines()", () => {
  let backend: SimulatedBackend;
  beforeAll(async () => (backend = await startSimulatedBackend()));
  afterAll(() => backend.close());

  const engine = (url: string, models: string[] | null = null, type: "vllm" | "openai" = "vllm") => ({ url, models, type });

  test("reads what an engine counted, at its own address with a prefix or without", async () => {
    const body = JSON.stringify({ model: "simulated-chat", messages: [{ role: "user", content: "abcd" }] });
    await fetch(`${backend.url}/v1/chat/completions`, { method: "POST", body });
    const engines = createEngines([engine(`${backend.url}/v1`)]);
    const { counters, missing } = await engines.read();
    expect(missing).toBe(0);
    expect(counters.find(({ model }) => model === "simulated-chat")).toEqual({
      backend: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      model: "simulated-chat",
      promptTokens: 9,
      completionTokens: 20,
    });
    await engines.close();
  });

  test("counts engines that do not answer, and leaves out models that an engine without counters serves too", async () => {
    const gone = await startSimulatedBackend();
    await gone.close();
    const engines = createEngines([engine(backend.url), engine(gone.url), engine(gone.url, ["simulated-chat"], "openai")]);
    const { counters, missing } = await engines.read();
    expect(missing).toBe(1);
    expect(counters.map(({ model }) => model)).toEqual(["simulated-chat-small", "simulated-embedding", "simulated-image"]);
    await engines.close();
    const blind = createEngines([engine(backend.url), engine(gone.url, null, "openai")]);
    expect((await blind.read()).counters).toEqual([]);
    await blind.close();
  });

  test("asks nobody at a public address (path.selfhosted)", async () => {
    const engines = createEngines([engine(backend.url.replace("127.0.0.1", "localhost")), engine("http://example.invalid:1")]);
    expect((await engines.read()).missing).toBe(1);
    await engines.close();
  });
});

describe("reconcile()", () => {
  let db: TestDatabase;
  let sql: Sql;
  let usageRecord: Sql;
  let accountId: string;
  let backend: string;

  beforeAll(async () => {
    db = await createTestDatabase();
    sql = connect({ url: db.urlFor("reconcile"), connections: 1 });
    usageRecord = connect({ url: db.urlFor("usage-record"), connections: 1 });
    await addModel(db.sql, "test-chat");
    accountId = await openAccount(db.sql, 1_000_000_000);
  });
  afterAll(async () => {
    await Promise.all([sql.end(), usageRecord.end()]);
    await db.close();
  });
  beforeEach(async () => {
    await db.sql`truncate usage_events, engine_counters, reconciliations`;
    backend = randomUUID();
  });

  /** A reading of the one engine. */
  const reading = (promptTokens: number, completionTokens: number, of = backend): Readings["counters"] => [
    { backend: of, model: "test-chat", promptTokens, completionTokens },
  ];
  const record = (minutesAgo: number, counters: Readings["counters"], missing = 0) =>
    recordCounters(sql, new Date(Date.now() - minutesAgo * minuteMs), { counters, missing });

  /** A settled call that began this long ago. */
  const call = (minutesAgo: number, given: Partial<Settlement> = {}) =>
    settle(usageRecord, [
      settlement({
        accountId, leaseId: randomUUID(), costMicro: 0, requestId: uuidv7(Date.now() - minutesAgo * minuteMs), promptTokens: 100,
        completionTokens: 1_000, latencyMs: minuteMs, ...given,
      }),
    ]);

  async function captured(windowMinutes = 60): Promise<Partial<Captured> | undefined> {
    await settleReconciliations(sql, 10 * minuteMs);
    const [found, more] = await readCaptured(sql, windowMinutes * minuteMs);
    expect(more).toBeUndefined();
    return found;
  }

  test("finds everything captured when all that the engines counted was settled", async () => {
    await record(30, reading(5_000, 7_000));
    await call(29);
    await call(27);
    await record(25, reading(5_200, 9_000));
    expect(await captured()).toEqual({
      model: "test-chat", enginesMissing: 0, enginePromptTokens: 200, engineCompletionTokens: 2_000, ledgerPromptTokens: 200,
      ledgerCompletionTokens: 2_000,
    });
  });

  test("finds less captured when a settlement is missing, and more when engines' tokens are", async () => {
    await record(30, reading(0, 0));
    await call(29);
    await record(25, reading(200, 2_000));
    await call(24);
    await call(23);
    await record(20, reading(300, 3_000));
    expect(await captured()).toMatchObject({ engineCompletionTokens: 3_000, ledgerCompletionTokens: 3_000 });
    expect(await captured(6)).toMatchObject({ enginePromptTokens: 100, engineCompletionTokens: 1_000, ledgerPromptTokens: 200, ledgerCompletionTokens: 2_000 });
  });

  test("gives a call that is under way at a reading to both times: its prompt to the first, its output by its duration", async () => {
    for (const [minutesAgo, prompt, completion] of [[30, 0, 0], [25, 100, 250], [20, 100, 1_000]] as const) await record(minutesAgo, reading(prompt, completion));
    await call(26, { latencyMs: 4 * minuteMs });
    await captured();
    const rows = await db.sql`
      select engine_prompt_tokens::int as "enginePrompt", engine_completion_tokens::int as "engineCompletion",
        ledger_prompt_tokens::int as "ledgerPrompt", ledger_completion_tokens::int as "ledgerCompletion"
      from reconciliations order by read_at
    `;
    expect([...rows]).toEqual([
      { enginePrompt: 100, engineCompletion: 250, ledgerPrompt: 100, ledgerCompletion: 250 },
      { enginePrompt: 0, engineCompletion: 750, ledgerPrompt: 0, ledgerCompletion: 750 },
    ]);
  });

  test("compares nothing before every call of the time can have been settled", async () => {
    await record(12, reading(0, 0));
    await record(9, reading(100, 1_000));
    expect(await captured()).toBeUndefined();
    await settleReconciliations(sql, 5 * minuteMs);
    expect(await captured()).toMatchObject({ enginePromptTokens: 100, ledgerPromptTokens: 0 });
  });

  test("takes a counter that is lower as one that began again, and a first one as a beginning only", async () => {
    const other = randomUUID();
    await record(40, reading(5_000, 7_000));
    await record(35, reading(30, 7_500));
    await record(30, [...reading(50, 7_600), ...reading(1_000_000, 1_000_000, other)]);
    await record(25, [...reading(50, 7_600), ...reading(1_000_001, 1_000_002, other)], 3);
    expect(await captured()).toMatchObject({ enginePromptTokens: 30 + 20 + 1, engineCompletionTokens: 7_500 + 100 + 2, enginesMissing: 3 });
  });

  test("begins anew after more than an hour without a reading, and forgets readings after 30 days", async () => {
    await record(120, reading(0, 0));
    await record(30, reading(1_000_000, 1_000_000));
    await record(25, reading(1_000_007, 1_000_000));
    expect(await captured(600)).toMatchObject({ enginePromptTokens: 7 });
    await record(-31 * 24 * 60, reading(0, 0));
    expect(await db.sql`select from reconciliations`).toEqual([]);
  });

  test("knows nothing of a model that the price book has not", async () => {
    for (const minutesAgo of [30, 25]) {
      await record(minutesAgo, [{ backend, model: "unheard-of", promptTokens: minutesAgo, completionTokens: 1 }]);
    }
    expect(await captured()).toBeUndefined();
  });

  /** A run of the function over engines that say this. */
  async function run(readings: Readings, given: { captureRateMin?: number; open?: () => Sql } = {}) {
    const lines: LogLine[] = [];
    const metrics = createMetrics();
    const handler = createHandler({
      open: () => connect({ url: db.urlFor("reconcile"), connections: 1 }),
      engines: { read: async () => readings },
      metrics,
      log: (line) => void lines.push(line),
      settledAfterMs: 10 * minuteMs,
      windowMs: 60 * minuteMs,
      captureRateMin: 0.98,
      captureRateMax: 1.02,
      ...given,
    });
    const response = await handler(new Request("http://function/", { method: "POST" }));
    return { status: response.status, answer: (await response.json()) as any, lines, metrics: await metrics.text() };
  }

  test("publishes the capture rate, and tells the operator of one that leaves the band", async () => {
    await record(30, reading(0, 0));
    await call(29);
    await call(28);
    await record(25, reading(200, 4_000), 1);
    const off = await run({ counters: [], missing: 0 });
    expect(off.answer).toEqual({ models: 1, outOfBand: 1, enginesMissing: 0 });
    expect(off.lines).toEqual([{ at: "capture_out_of_band", models: 1, engineTokens: 4_200, settledTokens: 2_200, gapTokens: 2_000 }]);
    expect(off.metrics).toContain('epithre_reconcile_capture_rate{model="test-chat",direction="prompt"} 1\n');
    expect(off.metrics).toContain('epithre_reconcile_capture_rate{model="test-chat",direction="completion"} 0.5\n');
    expect(off.metrics).toContain('epithre_reconcile_gap_tokens{model="test-chat",direction="completion"} 2000\n');
    expect((await run({ counters: [], missing: 0 }, { captureRateMin: 0.4 })).lines).toEqual([]);
  });

  test("tells of no gap that one call at the edge of the time can make, and of engines that do not answer", async () => {
    await record(30, reading(0, 0));
    await record(25, reading(99, 900));
    const { lines, metrics } = await run({ counters: [], missing: 2 });
    expect(lines).toEqual([{ at: "engines_missing", engines: 2 }]);
    expect(metrics).toContain("epithre_reconcile_engines_missing 2\n");
  });

  test("answers 503 without its database, and its role can do nothing else (use.usage)", async () => {
    const { status, lines } = await run({ counters: [], missing: 0 }, { open: () => connect({ url: "postgres://nobody@127.0.0.1:1/none", connections: 1 }) });
    expect([status, lines]).toEqual([503, [{ at: "handler_failed", kind: "database", sqlState: "other" }]]);
    for (const table of ["usage_events", "reconciliations", "engine_counters", "accounts"]) {
      await expect(sql`select from ${sql(table)}`).rejects.toMatchObject({ code: "42501" });
    }
  });

  test("shows the operator the numbers of the time that was asked for", async () => {
    await record(30, reading(0, 0));
    await call(29);
    await record(25, reading(100, 1_100));
    await captured();
    const admin = connect({ url: db.urlFor("admin"), connections: 1 });
    expect(await readReconciliation(admin, 60)).toMatchObject([
      { model: "test-chat", engine: { promptTokens: 100, completionTokens: 1_100 }, ledger: { promptTokens: 100, completionTokens: 1_000 } },
    ]);
    await admin.end();
  });
});
