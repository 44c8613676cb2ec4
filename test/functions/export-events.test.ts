import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uuidv7 } from "#shared/ids.ts";
import { pageRows } from "../../functions/export/queries.ts";
import type { Parts } from "../../functions/export/parts.ts";
import { createSeats, summarySeats } from "../../functions/export/seats.ts";
import { createUsageEvents, type EventsLimits } from "../../functions/export/usage-events.ts";
import { firstDayMs, readCsv, refused, startExport, type Person, type TestExport } from "../support/export.ts";

interface Page {
  data: { request_id: string; cost_rupiah: string; status: number }[];
  next_cursor: string | null;
}

let running: TestExport;
let person: Person;
/** All of the account's, the newest first. */
let all: Record<string, string>[];

const events = 2 * pageRows + 321;
/** After all of them: the newest are of the latest day, the others of the days before. */
const clock = { wallMs: () => firstDayMs + 2 * 86_400_000 };
const day = (offset: number) => new Date(firstDayMs + offset * 86_400_000).toISOString().slice(0, 10);

beforeAll(async () => {
  running = await startExport();
  person = await running.newPerson();
  // Two days, with a cost of their own each; every fortieth has failed.
  const ids = Array.from({ length: events }, (_, index) => uuidv7(firstDayMs + index * 32_003));
  await running.db.sql`
    insert into usage_events
    select e.id, ${person.accountId}, ${person.keyId}, 9000000000000 + n, 1, n % 40, n % 5, n % 70, n % 3, 0, n % 4000, 'chat.completions', m.id,
      case when n % 40 = 0 then 503 else 200 end
    from unnest(${ids}::uuid[]) with ordinality as e (id, position), lateral (select position::integer as n) as p, models m
    where m.name = 'test-chat'
  `;
  await running.addUsage(await running.newPerson(), Array.from({ length: 500 }, (_, index) => firstDayMs + index));
  all = readCsv(await (await running.ask(person, "/v1/usage.csv")).text()).reverse();
}, 60_000);
afterAll(() => running.close());

async function page(query: string, whose: Pick<Person, "key"> = person): Promise<Page> {
  const response = await running.ask(whose, `/v1/usage/events?${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

/** Asks page after page, of a handler that looks through as much at once as `limits` says. */
async function pagesOf(query: string, limits: EventsLimits): Promise<Page[]> {
  const parts = { database: running.pool, summaries: createSeats(summarySeats), clock } as unknown as Parts;
  const pages: Page[] = [];
  do {
    const [request, searchParams] = [new Request("http://export/v1/usage/events"), new URLSearchParams(query)];
    const cursor = pages.at(-1)?.next_cursor;
    if (cursor) searchParams.set("cursor", cursor);
    const answer = await createUsageEvents(parts, limits)({ accountId: person.accountId, request, rest: "", searchParams, signal: request.signal });
    pages.push((await answer.json()) as Page);
  } while (pages.at(-1)!.next_cursor !== null);
  return pages;
}

describe("GET /v1/usage/events", () => {
  test("answers what the CSV lists, the newest first, with the same names and values (right.export)", async () => {
    const { data, next_cursor: next } = await page("");
    expect(data).toHaveLength(50);
    const asText = (row: object) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value)]));
    expect(data.map(asText)).toEqual(all.slice(0, 50));
    const second = await page(`cursor=${next}`);
    expect(second.data.map(asText)).toEqual(all.slice(50, 100));
  });

  test("leads through all of a range once, whatever a page holds and looks through (right.export)", async () => {
    const query = fc.constantFrom("", "status=5xx", "status=4xx", `to=${day(0)}`, `from=${day(1)}`, `from=${day(0)}&to=${day(0)}&status=5xx`);
    const limits = fc.record({ eventsMax: fc.integer({ min: 700, max: 3_000 }), scannedMax: fc.constantFrom(1, pageRows + 1, 100_000) });
    await fc.assert(
      fc.asyncProperty(query, limits, async (asked, some) => {
        const parameters = new URLSearchParams(asked);
        const [from, to, status] = ["from", "to", "status"].map((name) => parameters.get(name));
        const expected = all.filter(
          ({ time, status: of }) => (!from || time!.slice(0, 10) >= from) && (!to || time!.slice(0, 10) <= to) && (!status || of![0] === status[0]),
        );
        const pages = await pagesOf(asked, some);
        expect(pages.every(({ data }) => data.length <= some.eventsMax)).toBe(true);
        expect(pages.flatMap(({ data }) => data.map((event) => event.request_id))).toEqual(expected.map((row) => row.request_id));
      }),
      { numRuns: 15 },
    );
  }, 60_000);

  test("has no page without an event behind the last one that is full", async () => {
    const [only, ...more] = await pagesOf("", { eventsMax: events, scannedMax: 100_000 });
    expect([only!.data.length, more]).toEqual([events, []]);
  });

  test("answers nothing to whoever used nothing, also by another account's key and cursor", async () => {
    const stranger = await running.newPerson();
    for (const query of ["", `key_id=${person.keyId}`, `cursor=${all[0]!.request_id}`]) expect(await page(query, stranger)).toEqual({ object: "list", data: [], next_cursor: null });
  });

  test("refuses what it cannot use, and whoever may not", async () => {
    for (const [wrong, param] of [["cursor=x", "cursor"], ["status=200", "status"], ["from=2026-02-30", "from"]]) {
      expect(await refused(await running.ask(person, `/v1/usage/events?${wrong}`))).toMatchObject({ status: 400, param });
    }
    expect(await refused(await running.ask(person, "/v1/usage/events?limit=9"))).toMatchObject({ status: 400 });
    expect(await refused(await fetch(`${running.url}/v1/usage/events`))).toMatchObject({ status: 401, code: "missing_api_key" });
    expect(await refused(await running.ask({ key: `ep_${randomUUID()}` }, "/v1/usage/events"))).toMatchObject({ status: 401 });
    expect((await running.ask(person, "/v1/usage/events", { method: "POST", headers: { authorization: `Bearer ${person.key}` } })).status).toBe(405);
  });
});
