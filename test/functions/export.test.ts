import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { generateKey } from "#shared/keys.ts";
import { findUsagePage, pageRows } from "../../functions/export/queries.ts";
import { idRange } from "../../functions/export/range.ts";
import { streamUsage } from "../../functions/export/usage-stream.ts";
import { firstDayMs, readCsv, refused, serveOnLoopback, startExport, type Person, type TestExport } from "../support/export.ts";
import { waitFor } from "../support/wait.ts";

const columns = [
  "time", "request_id", "key_id", "model", "endpoint", "status", "prompt_tokens", "cached_tokens", "completion_tokens",
  "reasoning_tokens", "images", "cost_rupiah", "latency_ms", "price_version",
];

const day = (offset: number) => new Date(firstDayMs + offset * 86_400_000).toISOString().slice(0, 10);

let running: TestExport;
const log = () => {};
const everything = idRange({});

beforeAll(async () => {
  running = await startExport();
});
afterAll(() => running.close());

const newPerson = () => running.newPerson();
const addUsage = (person: Person, timesMs: number[]) => running.addUsage(person, timesMs);
const ask = (person: Pick<Person, "key">, query = "", init: RequestInit = {}) => running.ask(person, `/v1/usage.csv${query}`, init);
const idsIn = (csv: string) => readCsv(csv).map((row) => row.request_id);

describe("export()", () => {
  test("answers the usage log as CSV, each event one record (right.export, keep.usage)", async () => {
    const person = await newPerson();
    const [id] = await addUsage(person, [firstDayMs + 1_234]);
    const response = await ask(person);
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8; header=present");
    const time = `${day(0)}T00:00:01.234Z`;
    expect(await response.text()).toBe(
      `${columns.join(",")}\r\n` +
        `${time},${id},${person.keyId},test-chat,chat.completions,200,12,3,34,5,0,12.000001,56,7\r\n`,
    );
    expect(await (await ask(await newPerson())).text()).toBe(`${columns.join(",")}\r\n`);
  });

  test("answers 50,000 events of the caller and none of another account, with two pages in memory (right.export)", async () => {
    const [person, other] = [await newPerson(), await newPerson()];
    const times = Array.from({ length: 50_000 }, (_, index) => firstDayMs + index * 5_000);
    const ids = await addUsage(person, times);
    await addUsage(other, times.slice(0, 3_000));
    let pagesRead = 0;
    const counting: DatabasePool = {
      ...running.pool,
      async run(query) {
        const answer = await running.pool.run(query);
        if ((answer as { endId: string | null }).endId !== null) pagesRead += 1;
        return answer;
      },
    };
    const handler = running.handlerWith({ database: counting });
    const response = await handler(new Request("http://export/v1/usage.csv", { headers: { authorization: `Bearer ${person.key}` } }));
    const decoder = new TextDecoder();
    let text = "";
    let taken = 0;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      taken += 1;
      text += decoder.decode(chunk, { stream: true });
      // A caller that takes the first chunks slowly: meanwhile as many pages could be read again.
      if (taken < 5) for (let again = 0; again < 3; again += 1) await running.pool.run((sql) => findUsagePage(sql, person.accountId, everything, {}));
      expect(pagesRead - taken).toBeLessThanOrEqual(1);
    }
    expect(taken).toBe(50_000 / pageRows);
    expect(idsIn(text)).toEqual(ids);
    const rupiah = readCsv(text).map((row) => BigInt(row.cost_rupiah!.replace(".", "")));
    expect(rupiah.reduce((sum, cost) => sum + cost)).toBe(50_000n * 12_000_000n + (50_000n * 50_001n) / 2n);
  });

  test("goes on after the record that a cursor names", async () => {
    const person = await newPerson();
    const ids = await addUsage(person, Array.from({ length: 2_500 }, (_, index) => firstDayMs + index + (index < 1_700 ? 0 : 3 * 86_400_000)));
    for (const broken of [0, 999, 1_500, 2_499]) {
      expect(idsIn(await (await ask(person, `?cursor=${ids[broken]}`)).text())).toEqual(ids.slice(broken + 1));
    }
    expect(idsIn(await (await ask(person, `?from=${day(1)}&cursor=${ids[0]}`)).text())).toEqual(ids.slice(1_700));
    expect(idsIn(await (await ask(person, "?cursor=ffffffff-ffff-7fff-bfff-ffffffffffff")).text())).toEqual([]);
  });

  test("takes both days of a range whole, in UTC", async () => {
    const person = await newPerson();
    const dayMs = 86_400_000;
    const ids = await addUsage(person, [0, 1, 2, 3].flatMap((offset) => [firstDayMs + offset * dayMs, firstDayMs + (offset + 1) * dayMs - 1]));
    const between = async (query: string) => idsIn(await (await ask(person, query)).text());
    expect(await between(`?from=${day(1)}&to=${day(2)}`)).toEqual(ids.slice(2, 6));
    expect(await between(`?from=${day(3)}`)).toEqual(ids.slice(6));
    expect(await between(`?to=${day(0)}`)).toEqual(ids.slice(0, 2));
    expect(await between("?from=0001-01-01&to=9999-12-31")).toEqual(ids);
    expect(uuidv7TimeMs(ids[0]!)).toBe(firstDayMs);
  });

  test.each([
    ["?from=2026-02-30", "from"],
    ["?to=yesterday", "to"],
    ["?from=2026-01-02T00:00:00Z", "from"],
    ["?cursor=1", "cursor"],
    ["?cursor=00000000-0000-0000-0000-000000000000", "cursor"],
    ["?from=2026-02-02&to=2026-02-01", "from"],
    ["?since=2026-01-01", null],
  ])("refuses %s and names the parameter, but not what was sent", async (query, param) => {
    const response = await ask(await newPerson(), query);
    const text = await response.clone().text();
    expect(await refused(response)).toMatchObject({ status: 400, param });
    expect(text).not.toContain(query.split("=")[1]);
    if (param) expect(text).toContain(`Cannot use query: ${param} `);
  });

  test("serves nobody without a key in force that has the scope usage", async () => {
    const person = await newPerson();
    const { url } = running;
    expect(await refused(await fetch(`${url}/v1/usage.csv`))).toMatchObject({ status: 401, code: "missing_api_key" });
    for (const key of ["ep_short", generateKey()]) {
      expect(await refused(await ask({ key }))).toMatchObject({ status: 401, code: "invalid_api_key" });
    }
    await running.db.sql`update api_keys set scopes = array['chat'] where id = ${person.keyId}`;
    expect(await refused(await ask(person))).toMatchObject({ status: 403, code: "insufficient_permissions" });
    await running.db.sql`update api_keys set scopes = array['usage'] where id = ${person.keyId}`;
    expect((await ask(person)).status).toBe(200);
    await running.db.sql`update api_keys set revoked_at = now() where id = ${person.keyId}`;
    expect(await refused(await ask(person))).toMatchObject({ status: 401, code: "invalid_api_key" });
  });

  test("serves a suspended account, but not a closed one (right.export)", async () => {
    const person = await newPerson();
    await running.db.sql`update accounts set status = 'suspended' where id = ${person.accountId}`;
    expect((await ask(person)).status).toBe(200);
    await running.db.sql`update accounts set status = 'closed', closed_at = now() where id = ${person.accountId}`;
    expect(await refused(await ask(person))).toMatchObject({ status: 401, code: "invalid_api_key" });
  });

  test("answers other routes and methods by 404 and 405, and browsers from anywhere", async () => {
    const person = await newPerson();
    const posted = await ask(person, "", { method: "POST" });
    expect(posted.headers.get("allow")).toBe("GET, OPTIONS");
    expect(await refused(posted)).toMatchObject({ status: 405, code: "method_not_allowed" });
    expect(await refused(await fetch(`${running.url}/v1/usages`))).toMatchObject({ status: 404, code: "unknown_url" });
    const preflight = await ask(person, "", { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization, content-type, range");
  });

  test("answers 503 with retry-after while the database or key-auth is away", async () => {
    const person = await newPerson();
    const away = createDatabasePool({ url: "postgres://nobody:nothing@127.0.0.1:1/none", log });
    const nobody = running.clientAt(1);
    const request = () => new Request("http://export/v1/usage.csv", { headers: { authorization: `Bearer ${person.key}` } });
    const unavailable = { status: 503, code: "service_unavailable", retryAfter: "1" };
    expect(await refused(await running.handlerWith({ database: away })(request()))).toMatchObject(unavailable);
    expect(await refused(await running.handlerWith({ keyAuth: nobody })(request()))).toMatchObject(unavailable);
    await Promise.all([away.close(), nobody.close()]);
  });

  test("breaks the answer off when the database fails in the middle: never a clean end (right.export)", async () => {
    const person = await newPerson();
    await addUsage(person, Array.from({ length: 3 * pageRows }, (_, index) => firstDayMs + index));
    let pages = 0;
    const failing: DatabasePool = {
      ...running.pool,
      run: (query) => ((pages += 1), pages === 3 ? Promise.reject(new EpithreError("unavailable", "gone")) : running.pool.run(query)),
    };
    const broken = await serveOnLoopback("export", running.handlerWith({ database: failing }));
    const response = await fetch(`http://127.0.0.1:${broken.port}/v1/usage.csv`, { headers: { authorization: `Bearer ${person.key}` } });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    await broken.stop();
  });

  test("runs two exports of an account at once, and gives the place back when the caller leaves", async () => {
    const person = await newPerson();
    await addUsage(person, Array.from({ length: 2 * pageRows + 1 }, (_, index) => firstDayMs + index));
    const handler = running.handlerWith({});
    const leaving = new AbortController();
    const start = (signal?: AbortSignal) =>
      handler(new Request("http://export/v1/usage.csv", { headers: { authorization: `Bearer ${person.key}` }, signal }));
    const [first] = [await start(leaving.signal), await start()];
    expect(first.status).toBe(200);
    expect(await refused(await start())).toMatchObject({ status: 429, retryAfter: "5" });
    leaving.abort();
    const third = await waitFor("a free place", async () => {
      const response = await start();
      return response.status === 200 && response;
    });
    expect(readCsv(await third.text())).toHaveLength(2 * pageRows + 1);
  });

  test("ends an export that its caller does not take, and gives its place to others", async () => {
    const ended = Promise.withResolvers<void>();
    const nothing = { found: Buffer.alloc(0), endId: null };
    const stream = streamUsage({ firstPage: nothing, pageAfter: async () => nothing, onEnd: ended.resolve, timeoutMs: 1 });
    await ended.promise;
    await expect(stream.getReader().read()).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("reads usage, names of models and its own files' rows, and nothing else", async () => {
    const tables = await running.db.sql<{ table: string }[]>`
      select relname as table from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
        and has_any_column_privilege('epithre_export', oid, 'select, insert, update, references')
      order by 1
    `;
    expect(tables.map(({ table }) => table)).toEqual(["models", "usage_events", "usage_exports"]);
    await expect(running.pool.run((sql) => sql`select uuidv7() from accounts where id = ${randomUUID()}`)).rejects.toMatchObject({ code: "42501" });
  });
});
