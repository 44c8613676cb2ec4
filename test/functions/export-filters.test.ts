import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uuidv7 } from "#shared/ids.ts";
import { endpoints } from "#shared/policy.ts";
import { findUsageEvent, findUsagePage, pageRows } from "../../functions/export/queries.ts";
import { idRange } from "../../functions/export/range.ts";
import { record } from "../../functions/export/records.ts";
import type { Filters } from "../../functions/export/schema.ts";
import { addModel } from "../support/accounts.ts";
import { firstDayMs, readCsv, refused, startExport, type Person, type TestExport } from "../support/export.ts";
import { verifyReceipt } from "../support/verify-receipt.ts";

let running: TestExport;
let person: Person;
let other: Person;
/** All of the account's, in their order, as the CSV without filters has them. */
let all: Record<string, string>[];

const events = 2 * pageRows + 321;
const keys = [randomUUID(), randomUUID(), randomUUID()];
const models = ["test-chat", "rare-chat"];
const statuses = [200, 200, 200, 400, 429, 499, 500, 503];

beforeAll(async () => {
  running = await startExport();
  await addModel(running.db.sql, "rare-chat");
  [person, other] = [await running.newPerson(), await running.newPerson()];
  for (const { accountId } of [person, other]) await addMixed(accountId);
  all = await csv("");
});
afterAll(() => running.close());

/** Events of all kinds, of which few are of the rare model. */
async function addMixed(accountId: string): Promise<void> {
  const ids = Array.from({ length: events }, (_, index) => uuidv7(firstDayMs + index * 37_003));
  await running.db.sql`
    insert into usage_events
    select e.id, ${accountId}, (${keys}::uuid[])[1 + n % 3], n * 7919 % 10000000, 1 + n % 3, n % 40, n % 5, n % 70, n % 3, n % 2,
      n % 9000, (enum_range(null::usage_endpoint))[1 + n % 6], case when n % 1000 = 999 then r.id else m.id end,
      (${statuses}::integer[])[1 + n % 8]
    from unnest(${ids}::uuid[]) with ordinality as e (id, position), lateral (select position::integer as n) as p, models m, models r
    where m.name = 'test-chat' and r.name = 'rare-chat'
  `;
}

async function csv(query: string, whose = person): Promise<Record<string, string>[]> {
  const response = await running.ask(whose, `/v1/usage.csv?${query}`);
  expect(response.status).toBe(200);
  return readCsv(await response.text());
}

const query = (filters: Filters) => new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== undefined)).toString();

/** What a filter should take, said otherwise than in SQL. */
function takes({ model, key_id: keyId, endpoint, status }: Filters) {
  return (row: Record<string, string>) =>
    (model ?? row.model) === row.model && (keyId ?? row.key_id) === row.key_id && (endpoint ?? row.endpoint) === row.endpoint &&
    (status === undefined || row.status![0] === status[0]);
}

const anyFilters: fc.Arbitrary<Filters> = fc.record({
  model: fc.option(fc.constantFrom(...models, "no-such-model"), { nil: undefined }),
  key_id: fc.option(fc.constantFrom(...keys, randomUUID()), { nil: undefined }),
  endpoint: fc.option(fc.constantFrom(...endpoints), { nil: undefined }),
  status: fc.option(fc.constantFrom("2xx" as const, "4xx" as const, "5xx" as const), { nil: undefined }),
});

describe("filters", () => {
  test("take the same events by any of them together, from any cursor on (right.export)", async () => {
    expect(all).toHaveLength(events);
    await fc.assert(
      fc.asyncProperty(anyFilters, fc.option(fc.nat(events - 1), { nil: undefined }), async (filters, from) => {
        const expected = all.slice(from === undefined ? 0 : from + 1).filter(takes(filters));
        const cursor = from === undefined ? "" : `&cursor=${all[from]!.request_id}`;
        expect(await csv(query(filters) + cursor)).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  test("look at so many events at a time, however few they take, and go on where that ended", async () => {
    const range = idRange({});
    const seen: number[] = [];
    let after: string | null = range.afterId;
    while (after !== null) {
      const page = await running.pool.run((sql) => findUsagePage(sql, person.accountId, { ...range, afterId: after! }, { model: "rare-chat" }));
      seen.push(page.found.toString().split("\n").length - 1);
      after = page.endId;
    }
    expect(seen).toEqual([2, 3, 0]);
  });

  test("write with Postgres what is written for one event here (right.export, keep.usage)", async () => {
    for (const row of all.filter((_, index) => index % 61 === 0)) {
      const event = await running.pool.run((sql) => findUsageEvent(sql, person.accountId, row.request_id!));
      expect(Object.values(row).join(",")).toBe(record(event!));
    }
  });

  test("are named by the receipt, and a file passes for no other than it is (right.export)", async () => {
    const keySet: unknown = await (await fetch(`${running.url}/.well-known/epithre-receipt-keys.json`)).json();
    const filters: Filters = { key_id: keys[1], status: "4xx" };
    const response = await running.ask(person, `/v1/usage.csv?${query(filters)}`);
    const receiptPath = /^<([^>]+)>/.exec(response.headers.get("link")!)![1]!;
    const file = await response.text();
    const receipt = (await (await running.ask(person, receiptPath)).json()) as Record<string, unknown>;
    expect(receipt).toMatchObject({ ...filters, model: null, endpoint: null, rows: all.filter(takes(filters)).length });
    expect((await verifyReceipt({ receipt, csv: file, keys: keySet })).code).toBe(0);
    // Of a filtered file nobody can say that it is all there was.
    expect((await verifyReceipt({ receipt: { ...receipt, status: null }, csv: file, keys: keySet })).code).toBe(1);
    const unfiltered = (await (await running.ask(person, "/v1/usage.csv.receipt")).json()) as Record<string, unknown>;
    expect((await verifyReceipt({ receipt: unfiltered, csv: file, keys: keySet })).code).toBe(1);
  });

  test("of another account's key find nothing", async () => {
    const own = await running.newPerson();
    const [id] = await running.addUsage(own, [firstDayMs]);
    expect((await csv(`key_id=${own.keyId}`, own)).map((row) => row.request_id)).toEqual([id]);
    expect(await csv(`key_id=${own.keyId}`)).toEqual([]);
  });

  test.each([
    ["model=%3D1%2B1", "model"],
    [`model=${"x".repeat(129)}`, "model"],
    ["key_id=1", "key_id"],
    ["endpoint=files", "endpoint"],
    ["status=200", "status"],
    ["status=", "status"],
    ["page=2", null],
  ])("refuse %s and name the parameter, but not what was sent", async (wrong, param) => {
    for (const path of ["/v1/usage.csv", "/v1/usage.csv.receipt", "/v1/usage"]) {
      const response = await running.ask(person, `${path}?${wrong}`);
      const text = await response.clone().text();
      expect(await refused(response)).toMatchObject({ status: 400, param });
      expect(text).not.toContain(decodeURIComponent(wrong.split("=")[1] || "status=\""));
    }
  });
});
