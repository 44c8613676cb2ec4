import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uuidv7 } from "#shared/ids.ts";
import { addLatencies, type Latencies, percentile, stepsPerE } from "../../functions/export/latency.ts";
import { chunkRows } from "../../functions/export/queries.ts";
import { createUsageSummary } from "../../functions/export/usage-summary.ts";
import { createSeats, summarySeats } from "../../functions/export/seats.ts";
import type { Parts } from "../../functions/export/parts.ts";
import { addModel } from "../support/accounts.ts";
import { firstDayMs, readCsv, refused, startExport, type Person, type TestExport } from "../support/export.ts";

interface Line {
  day?: string;
  model?: string;
  key_id?: string;
  requests: number;
  errors: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost_rupiah: string;
  latency_ms: { p50: number | null; p95: number | null };
}
interface Summary {
  data: Line[];
  total: Line;
}

let running: TestExport;
let person: Person;

const dayMs = 86_400_000;
const events = 3 * chunkRows + 1_234;
const keys = [randomUUID(), randomUUID()];
const day = (offset: number) => new Date(firstDayMs + offset * dayMs).toISOString().slice(0, 10);

beforeAll(async () => {
  running = await startExport();
  await addModel(running.db.sql, "other-chat");
  person = await running.newPerson();
  const ids = Array.from({ length: events }, (_, index) => uuidv7(firstDayMs + Math.floor((index * 4 * dayMs) / events)));
  for (let from = 0; from < events; from += 10_000) {
    await running.db.sql`
      insert into usage_events
      select e.id, ${person.accountId}, (${keys}::uuid[])[1 + n % 2], 9000000000000 + n, 1, n % 40, n % 5, n % 70, n % 3, 0, n % 4000,
        'chat.completions', m.id, case when n % 10 = 0 then 429 when n % 25 = 0 then 503 else 200 end
      from unnest(${ids.slice(from, from + 10_000)}::uuid[]) with ordinality as e (id, position),
        lateral (select position::integer + ${from}::integer as n) as p,
        lateral (select id from models where name = case when n % 7 = 0 then 'other-chat' else 'test-chat' end) as m
    `;
  }
  // Everybody else's: nothing of it may show.
  await running.addUsage(await running.newPerson(), Array.from({ length: 500 }, (_, index) => firstDayMs + index));
});
afterAll(() => running.close());

async function summary(query: string, whose: Pick<Person, "key"> = person): Promise<Summary> {
  const response = await running.ask(whose, `/v1/usage?${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Summary;
}

const micro = (rupiah: string) => BigInt(rupiah.replace(".", ""));

/** The sums of these records of the CSV, added up here. */
function summed(rows: Record<string, string>[]) {
  const sum = (name: string) => rows.reduce((all, row) => all + Number(row[name]), 0);
  return {
    requests: rows.length,
    errors: rows.filter(({ status }) => Number(status) >= 400).length,
    prompt_tokens: sum("prompt_tokens"),
    completion_tokens: sum("completion_tokens"),
    cost: rows.reduce((all, row) => all + micro(row.cost_rupiah!), 0n),
  };
}

function shown({ requests, errors, prompt_tokens, completion_tokens, cost_rupiah }: Line) {
  return { requests, errors, prompt_tokens, completion_tokens, cost: micro(cost_rupiah) };
}

const nearestRank = (values: number[], share: number) => values.toSorted((one, other) => one - other)[Math.ceil(values.length * share) - 1]!;

describe("GET /v1/usage", () => {
  test("sums what the CSV lists, to the micro-rupiah, by day, model and key (right.export, use.usage)", async () => {
    const rows = readCsv(await (await running.ask(person, "/v1/usage.csv")).text());
    expect(rows).toHaveLength(events);
    for (const groupBy of [["day"], ["model"], ["key_id"], ["day", "model"], ["day", "model", "key_id"]] as const) {
      const { data, total } = await summary(`group_by=${groupBy.join(",")}`);
      const keyOf = (values: Record<string, string | undefined>) => groupBy.map((name) => values[name]).join(" ");
      const groups = Map.groupBy(rows.map((row) => ({ ...row, day: row.time!.slice(0, 10) })), keyOf);
      expect(data.map((line) => keyOf(line as never))).toEqual([...groups.keys()].sort());
      for (const line of data) expect(shown(line)).toEqual(summed(groups.get(keyOf(line as never))!));
      expect(shown(total)).toEqual(summed(rows));
      expect(total.cost_rupiah).toMatch(/^\d+\.\d{6}$/);
    }
  });

  test("tells the latency of what succeeded to within 3 percent", async () => {
    const rows = readCsv(await (await running.ask(person, "/v1/usage.csv?status=2xx")).text());
    const latencies = rows.map((row) => Number(row.latency_ms));
    const { latency_ms } = (await summary("group_by=model")).total;
    for (const [share, told] of [[0.5, latency_ms.p50!], [0.95, latency_ms.p95!]] as const) {
      const exact = nearestRank(latencies, share);
      expect(Math.abs(told - exact)).toBeLessThanOrEqual(exact * 0.03);
    }
  });

  test("keeps to days and filters, and answers in days where nothing is said", async () => {
    const rows = readCsv(await (await running.ask(person, `/v1/usage.csv?from=${day(1)}&to=${day(2)}&model=other-chat&key_id=${keys[0]}`)).text());
    const answer = await summary(`from=${day(1)}&to=${day(2)}&model=other-chat&key_id=${keys[0]}`);
    expect(answer).toMatchObject({
      object: "usage.summary", from: day(1), to: day(2), model: "other-chat", key_id: keys[0], endpoint: null, status: null, group_by: ["day"],
    });
    expect(answer.data.map((line) => line.day)).toEqual([day(1), day(2)]);
    expect(shown(answer.total)).toEqual(summed(rows));
    expect((await summary("status=5xx")).total.errors).toBe((await summary("status=5xx")).total.requests);
  });

  test("answers nothing but zeros to whoever used nothing, also by another account's key", async () => {
    const stranger = await running.newPerson();
    const nothing = {
      requests: 0, errors: 0, prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0, reasoning_tokens: 0, images: 0,
      cost_rupiah: "0.000000", latency_ms: { p50: null, p95: null },
    };
    for (const query of ["", `key_id=${keys[0]}`, "group_by=day,model,key_id"]) {
      expect(await summary(query, stranger)).toMatchObject({ data: [], total: nothing });
    }
  });

  test("looks at a bounded number of events, and says what to do when there are more", async () => {
    const statements: number[] = [];
    const database: Parts["database"] = { ...running.pool, run: (query) => (statements.push(1), running.pool.run(query)) };
    const parts = { database, summaries: createSeats(summarySeats) } as unknown as Parts;
    const ask = (limits: { eventsMax: number; groupsMax: number }, query = "") => {
      const [request, searchParams] = [new Request("http://export/v1/usage"), new URLSearchParams(query)];
      return createUsageSummary(parts, limits)({ accountId: person.accountId, request, rest: "", searchParams, signal: request.signal });
    };
    await expect(ask({ eventsMax: 2 * chunkRows, groupsMax: 99 })).rejects.toMatchObject({ kind: "invalid_request", detail: { param: "from" } });
    expect(statements.length).toBeLessThanOrEqual(4);
    expect((await ask({ eventsMax: 2 * chunkRows, groupsMax: 99 }, `from=${day(1)}&to=${day(2)}`)).status).toBe(200);
    await expect(ask({ eventsMax: 1e9, groupsMax: 3 })).rejects.toThrow("Ask for fewer days");
    expect((await ask({ eventsMax: 1e9, groupsMax: 4 })).status).toBe(200);
  });

  test("refuses other dimensions, and more than a few sums of an account at once", async () => {
    for (const wrong of ["group_by=account_id", "group_by=", "group_by=day,day,day,day", "group_by=day%20model"]) {
      expect(await refused(await running.ask(person, `/v1/usage?${wrong}`))).toMatchObject({ status: 400, param: "group_by" });
    }
    const answers = await Promise.all(Array.from({ length: 8 }, () => running.ask(person, "/v1/usage")));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 429, 429, 429, 429]);
    expect((await running.ask(person, "/v1/usage")).status).toBe(200);
  });

  test("is refused without a key that has the scope usage", async () => {
    expect(await refused(await fetch(`${running.url}/v1/usage`))).toMatchObject({ status: 401, code: "missing_api_key" });
    const someone = await running.newPerson();
    await running.db.sql`update api_keys set scopes = array['chat'] where id = ${someone.keyId}`;
    expect(await refused(await running.ask(someone, "/v1/usage"))).toMatchObject({ status: 403, code: "insufficient_permissions" });
  });
});

describe("percentile()", () => {
  test("is within 2.6 percent, or half a millisecond, of the latency at that rank, however they are split up", () => {
    const latency = fc.integer({ min: 1, max: 3_600_000 });
    fc.assert(
      fc.property(fc.array(fc.array(latency, { minLength: 1 }), { minLength: 1, maxLength: 5 }), fc.constantFrom(0.5, 0.95, 1), (pieces, share) => {
        const latencies: Latencies = new Map();
        for (const piece of pieces) addLatencies(latencies, piece.map((ms) => Math.floor(Math.log(ms) * stepsPerE)), piece.map(() => 1));
        const exact = nearestRank(pieces.flat(), share);
        expect(Math.abs(percentile(latencies, share)! - exact)).toBeLessThanOrEqual(exact * 0.026 + 0.5);
      }),
    );
    expect(percentile(new Map(), 0.5)).toBeNull();
  });
});
