import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import type { LogLine } from "#shared/log.ts";
import { createObjectStore, createS3Client } from "#shared/object-store.ts";
import { promised } from "#shared/policy.ts";
import { exportHours, limitDays, purgeLeadHours } from "#shared/stored-data.ts";
import { firstDay, hashOfToken } from "../../functions/export/file-routes.ts";
import { pageRows } from "../../functions/export/queries.ts";
import { firstDayMs, readCsv, refused, startExport, type Person, type TestExport } from "../support/export.ts";
import { createFiles, dyingStore, onePage } from "../support/export-files.ts";
import { purgeOnce } from "../support/purge.ts";
import { verifyReceipt } from "../support/verify-receipt.ts";

let running: TestExport;
let files: ReturnType<typeof createFiles>;

beforeAll(async () => {
  running = await startExport();
  files = createFiles(running);
});
afterAll(() => running.close());
beforeEach(async () => {
  await running.db.sql`delete from usage_exports`;
  await files.build();
});

const dayMs = 86_400_000;
const day = (offset: number) => new Date(firstDayMs + offset * dayMs).toISOString().slice(0, 10);
const keySet = async () => (await (await fetch(`${running.url}/.well-known/epithre-receipt-keys.json`)).json()) as unknown;
/** The names of all that lies in the store, whole and unfinished. */
const stored = () => ["objects", "uploads"].flatMap((name) => readdirSync(join(running.storeFolder, name)));
const mailAbout = (id: string) => running.db.sql`select template, account_id as "accountId" from outbox where object_id = ${id}`;
const csvOf = async (person: Person, query = "") => (await running.ask(person, `/v1/usage.csv?${query}`)).text();

async function personWith(events: number): Promise<Person & { ids: string[] }> {
  const person = await running.newPerson();
  return { ...person, ids: await running.addUsage(person, Array.from({ length: events }, (_, index) => firstDayMs + index * 20_000)) };
}

describe("a file of the usage log", () => {
  test("is asked for, built by the schedule and fetched by its link: the same bytes as the CSV (right.export, path.lan)", async () => {
    const person = await personWith(3 * pageRows + 5);
    const asked = await files.ask(person);
    expect(asked).toMatchObject({ object: "usage.export.file", status: "queued", rows: 0, bytes: null });
    expect(Date.parse(asked.expires_at) - Date.parse(asked.created_at)).toBe(exportHours * 3_600_000);
    expect(await refused(await running.ask(person, `/v1/usage/exports/${asked.id}/link`, { method: "POST", headers: { authorization: `Bearer ${person.key}` } }))).toMatchObject({
      status: 409, code: "conflict", retryAfter: "15",
    });
    expect(await files.build()).toEqual({ parts: 4, ready: 1, ended: 0, removed: 0 });

    const expected = await csvOf(person);
    expect(await files.status(person, asked.id)).toMatchObject({ status: "ready", rows: person.ids.length, bytes: expected.length });
    const { path, expires_at: linkEnds } = await files.link(person, asked.id);
    expect(Date.parse(linkEnds)).toBeLessThanOrEqual(Date.now() + 61 * 60_000);
    const response = await files.follow(path);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/csv; charset=utf-8; header=present", "content-disposition": 'attachment; filename="epithre-usage.csv"',
      "content-length": String(expected.length), "cache-control": "no-store", "referrer-policy": "no-referrer",
    });
    expect(await response.text()).toBe(expected);
    expect(await files.build()).toEqual({ parts: 0, ready: 0, ended: 0, removed: 0 });
  });

  test("has a receipt like the CSV's, which the script finds valid, and of a changed file not (right.export)", async () => {
    const person = await personWith(2 * pageRows + 7);
    const { id } = await files.ask(person, { from: day(0), to: day(0), key_id: person.keyId });
    await files.build();
    const csv = await files.download(person, id);
    const receipt = await files.receipt(person, id);
    expect(receipt).toMatchObject({
      object: "usage.export", account_id: person.accountId, from: day(0), to: day(0), key_id: person.keyId, model: null, rows: readCsv(csv).length,
      first_request_id: person.ids[0], last_request_id: readCsv(csv).at(-1)!.request_id,
    });
    expect(await verifyReceipt({ receipt, csv, keys: await keySet() })).toMatchObject({ code: 0 });
    expect(await verifyReceipt({ receipt, csv: csv.replace("12.000700", "11.000700"), keys: await keySet() })).toMatchObject({ code: 1 });
    const { receipt: jws, ...ofCsv } = (await (await running.ask(person, `/v1/usage.csv.receipt?from=${day(0)}&to=${day(0)}&key_id=${person.keyId}`)).json()) as Record<string, unknown>;
    expect({ ...receipt, receipt: jws, signed_at: ofCsv.signed_at }).toEqual({ ...ofCsv, receipt: jws });
  });

  test("keeps to its filters, and is whole with no record at all", async () => {
    const person = await personWith(100);
    const [some, none] = [await files.ask(person, { model: "test-chat", endpoint: "chat.completions", status: "2xx" }), await files.ask(person, { status: "5xx" })];
    await files.build();
    expect(readCsv(await files.download(person, some.id))).toHaveLength(100);
    expect(await files.download(person, none.id)).toBe(await csvOf(person, "status=5xx"));
    expect(await verifyReceipt({ receipt: await files.receipt(person, none.id), csv: await files.download(person, none.id), keys: await keySet() })).toMatchObject({ code: 0 });
  });

  test("goes on where a download broke off, by range", async () => {
    const person = await personWith(300);
    const { id } = await files.ask(person);
    await files.build();
    const { path } = await files.link(person, id);
    const whole = await csvOf(person);
    for (const [range, from, to] of [["bytes=100-", 100, whole.length], ["bytes=0-9", 0, 10], [`bytes=${whole.length - 1}-999999`, whole.length - 1, whole.length]] as const) {
      const response = await files.follow(path, { range });
      expect([response.status, response.headers.get("content-range")]).toEqual([206, `bytes ${from}-${to - 1}/${whole.length}`]);
      expect(await response.text()).toBe(whole.slice(from, to));
    }
    for (const range of [`bytes=${whole.length}-`, "bytes=5-2", "bytes=0-1,3-4", "lines=1-"]) {
      const response = await files.follow(path, { range });
      expect([response.status, await response.text()]).toEqual([200, whole]);
    }
  });

  test("begins so late that no event passes 90 days in it (keep.usage)", async () => {
    const [person, nowMs] = [await personWith(1), Date.now()];
    const earliest = firstDay(nowMs);
    const longestMs = (exportHours + 2 * purgeLeadHours) * 3_600_000;
    expect(nowMs + longestMs - Date.parse(earliest)).toBeLessThanOrEqual(limitDays(promised("keep.usage").limit!) * dayMs);
    for (const from of [undefined, "2000-01-01"]) {
      const { query } = await files.ask(person, from === undefined ? {} : { from });
      expect(query.from).toBe(earliest);
    }
    const response = await running.ask(person, "/v1/usage/exports", {
      method: "POST", headers: { authorization: `Bearer ${person.key}` }, body: JSON.stringify({ to: "2000-01-02" }),
    });
    expect(await refused(response)).toMatchObject({ status: 400, param: "to" });
  });
});

describe("building", () => {
  test("goes on after it was killed before or after any call of the store, and the file is right (right.export)", async () => {
    const person = await personWith(2 * pageRows + 3);
    const expected = await csvOf(person);
    const deaths = new Set<string>();
    for (const when of ["before", "after"] as const) {
      for (let nth = 1; ; nth += 1) {
        const { id } = await files.ask(person);
        const dying = dyingStore(running.store, nth, when);
        await files.build(running.buildWith({ store: dying.store, partBytes: onePage })).catch(() => {});
        const died = dying.calls.length === nth;
        deaths.add(`${when} ${dying.calls.at(-1)}`);
        await files.build();
        if ((await files.status(person, id)).status !== "ready") await files.build();
        expect(await files.download(person, id)).toBe(expected);
        expect(await verifyReceipt({ receipt: await files.receipt(person, id), csv: expected, keys: await keySet() })).toMatchObject({ code: 0 });
        expect(stored()).toEqual([encodeURIComponent(`usage-exports/${id}`)]);
        expect(await running.db.sql`select restarts from usage_exports`).toEqual([{ restarts: 0 }]);
        expect(await mailAbout(id)).toEqual([{ template: "export_ready", accountId: person.accountId }]);
        await running.db.sql`delete from usage_exports`;
        await files.build();
        if (!died) break;
      }
    }
    for (const call of ["beginUpload", "putPart", "completeUpload"]) expect([...deaths]).toEqual(expect.arrayContaining([`before ${call}`, `after ${call}`]));
  }, 120_000);

  test("does not build again what was built, though events were settled meanwhile", async () => {
    const person = await personWith(3 * pageRows);
    const { id } = await files.ask(person);
    const dying = dyingStore(running.store, 7, "before");
    await files.build(running.buildWith({ store: dying.store, partBytes: onePage })).catch(() => {});
    expect(dying.calls.filter((call) => call === "putPart").length).toBeGreaterThan(1);
    expect(await files.status(person, id)).toMatchObject({ status: "building", rows: 2 * pageRows });
    await running.addUsage(person, [firstDayMs + 1, firstDayMs + 3 * dayMs]);
    expect((await files.build()).parts).toBeLessThanOrEqual(2);
    const csv = await files.download(person, id);
    expect(readCsv(csv)).toHaveLength(3 * pageRows + 1);
    expect(await verifyReceipt({ receipt: await files.receipt(person, id), csv, keys: await keySet() })).toMatchObject({ code: 0 });
  });

  test("begins anew where the store lost what it had, and gives up after some times", async () => {
    const person = await personWith(2 * pageRows);
    const { id } = await files.ask(person);
    const stopped = dyingStore(running.store, 5, "after");
    await files.build(running.buildWith({ store: stopped.store, partBytes: onePage })).catch(() => {});
    expect(await files.status(person, id)).toMatchObject({ status: "queued" });
    for (const upload of await running.store.uploads(id)) await running.store.endUpload(upload);
    await files.build();
    expect(await files.download(person, id)).toBe(await csvOf(person));

    const lost = await files.ask(person, { status: "2xx" });
    const forgetful = { ...running.store, putPart: async () => '"0123456789abcdef0123456789abcdef"' };
    await files.build(running.buildWith({ store: forgetful, partBytes: onePage }));
    expect(await files.status(person, lost.id)).toMatchObject({ status: "failed", rows: 0, bytes: null });
    const answer = await running.ask(person, `/v1/usage/exports/${lost.id}/receipt`);
    expect(await refused(answer)).toMatchObject({ status: 409, retryAfter: null });
  });

  test("is one at a time, and takes turns between exports", async () => {
    const [large, small] = [await personWith(6 * pageRows), await personWith(1)];
    const [first, second] = [await files.ask(large), await files.ask(small)];
    // Each look at the clock is 4 s later: a turn has room for a few parts.
    let nowMs = 0;
    const clock = { wallMs: Date.now, monotonicMs: () => (nowMs += 4_000) };
    await Promise.all([files.build(running.buildWith({ partBytes: onePage, clock })), files.build(running.buildWith({ partBytes: onePage }))]);
    expect((await files.status(small, second.id)).status).toBe("ready");
    for (let runs = 0; (await files.status(large, first.id)).status !== "ready" && runs < 9; runs += 1) await files.build();
    expect(await files.download(large, first.id)).toBe(await csvOf(large));
  });

  test("says 503 and leaves everything while the store or the database is away, and the log names neither", async () => {
    const person = await personWith(10);
    const { id } = await files.ask(person);
    const lines: LogLine[] = [];
    const nowhere = createS3Client({ url: "http://127.0.0.1:1", region: "us-east-1", login: { accessKeyId: "nobody", secretAccessKey: "nothing-at-all" } });
    const away = createObjectStore(nowhere, "epithre", "usage-exports/");
    const handler = running.handlerWith({ build: running.buildWith({ store: away, log: (line) => void lines.push(line) }), store: away });
    expect(await refused(await handler(new Request("http://export/", { method: "POST" })))).toMatchObject({ status: 503, retryAfter: "60" });
    expect(lines).toEqual([{ at: "object_store_away" }]);
    await files.build();
    const { path } = await files.link(person, id);
    expect(await refused(await handler(new Request(`http://export${path}`)))).toMatchObject({ status: 503, retryAfter: "10" });
    const noDatabase = createDatabasePool({ url: "postgres://nobody:nothing@127.0.0.1:1/none", log: () => {} });
    await files.ask(person);
    const failing = running.handlerWith({ build: running.buildWith({ database: noDatabase }) });
    expect(await refused(await failing(new Request("http://export/", { method: "POST" })))).toMatchObject({ status: 503 });
    await noDatabase.close();
    expect((await files.build()).ready).toBe(1);
  });

  test("is what anyone may call, since only what is due is done", async () => {
    const handler = running.handlerWith({});
    expect((await handler(new Request("http://export/", { method: "GET" }))).status).toBe(405);
    expect(await (await handler(new Request("http://export/", { method: "POST" }))).json()).toEqual({ parts: 0, ready: 0, ended: 0, removed: 0 });
  });
});

describe("mail that a file is ready", () => {
  test("waits for it, comes once, and not for a file that could not be built (right.export)", async () => {
    const person = await personWith(2 * pageRows);
    const { id } = await files.ask(person);
    await files.build(running.buildWith({ store: dyingStore(running.store, 3, "after").store, partBytes: onePage })).catch(() => {});
    expect(await mailAbout(id)).toEqual([]);
    await files.build();
    await files.build();
    expect(await mailAbout(id)).toHaveLength(1);

    const failed = await files.ask(await personWith(1));
    await running.db.sql`update usage_exports set state = 'failed' where id = ${failed.id}`;
    await files.build();
    expect(await mailAbout(failed.id)).toEqual([]);
  });

  test("goes with the file, whoever ends it", async () => {
    const [over, forgotten] = [await personWith(1), await personWith(1)];
    const ids = [(await files.ask(over)).id, (await files.ask(forgotten)).id];
    await files.build();
    expect((await Promise.all(ids.map(mailAbout))).flat()).toHaveLength(2);
    await running.db.sql`update usage_exports set created_at = now() - interval '24 hours' where account_id = ${over.accountId}`;
    await files.build();
    expect((await Promise.all(ids.map(mailAbout))).map((mails) => mails.length)).toEqual([0, 1]);
    await running.db.sql`update usage_exports set created_at = now() - interval '25 hours'`;
    await purgeOnce(running.db);
    expect((await Promise.all(ids.map(mailAbout))).flat()).toEqual([]);
  });
});

describe("the end of a file", () => {
  test("comes 24 hours after it was asked for: row, link and object (keep.usage)", async () => {
    const person = await personWith(10);
    const { id } = await files.ask(person);
    await files.build();
    const { path } = await files.link(person, id);
    await running.db.sql`update usage_exports set created_at = now() - interval '23 hours 59 minutes', link_ends_at = now() + interval '1 minute'`;
    expect((await files.build()).ended).toBe(0);
    expect((await files.follow(path)).status).toBe(200);
    await running.db.sql`update usage_exports set created_at = now() - interval '24 hours', link_ends_at = now()`;
    expect((await files.follow(path)).status).toBe(404);
    expect((await running.ask(person, `/v1/usage/exports/${id}`)).status).toBe(404);
    expect(stored()).toHaveLength(1);
    expect(await files.build()).toMatchObject({ ended: 1, removed: 1 });
    expect(stored()).toEqual([]);
  });

  test("comes with the closing of the account, and with its erasure whatever happened until then (right.delete)", async () => {
    const [closing, erased] = [await personWith(10), await personWith(10)];
    const [first] = [await files.ask(closing), await files.ask(erased)];
    await files.build();
    const { path } = await files.link(closing, first.id);
    await running.db.sql`update accounts set status = 'closed', closed_at = now() where id = ${closing.accountId}`;
    expect((await files.follow(path)).status).toBe(404);
    expect(await files.build()).toMatchObject({ ended: 1, removed: 1 });

    await running.db.sql`update accounts set status = 'closed', closed_at = now() - interval '8 days' where id = ${erased.accountId}`;
    await purgeOnce(running.db);
    expect(await running.db.sql`select from usage_exports`).toEqual([]);
    expect(stored()).toHaveLength(1);
    expect(await files.build()).toMatchObject({ removed: 1 });
    expect(stored()).toEqual([]);
  });

  test("is that of whatever the store has without a row, and of nothing beside its folder", async () => {
    const person = await personWith(10);
    const { id } = await files.ask(person);
    await files.build();
    const beside = createObjectStore(clientOf(running), "epithre", "others/");
    for (const [store, key] of [[beside, "invoice"], [running.store, "not-an-id"], [running.store, person.ids[0]!]] as const) {
      const upload = await store.beginUpload(key);
      await store.completeUpload(upload, [await store.putPart(upload, 1, Buffer.from("left"))]);
    }
    await beside.beginUpload("unfinished");
    await running.store.beginUpload(id);
    await running.store.beginUpload(person.ids[1]!);
    expect(await files.build()).toMatchObject({ ended: 0, removed: 4 });
    expect(await running.store.keysAfter(undefined)).toEqual([id]);
    expect(await beside.keysAfter(undefined)).toEqual(["invoice"]);
    expect((await beside.uploads()).map(({ key }) => key)).toEqual(["unfinished"]);
    await beside.remove("invoice");
    for (const upload of await beside.uploads()) await beside.endUpload(upload);
    beside.close();
  });
});

/** The same store by another client, whose folder is its own. */
function clientOf({ storeUrl }: TestExport) {
  return createS3Client({ url: storeUrl, region: "us-east-1", login: { accessKeyId: "epithre-local", secretAccessKey: "secret-of-tests" } });
}

describe("a link", () => {
  test("is kept as SHA-256 only, ends within an hour, and another takes its place (sec.key, keep.usage)", async () => {
    const person = await personWith(10);
    const { id } = await files.ask(person);
    await files.build();
    const [former, link] = [await files.link(person, id), await files.link(person, id)];
    const token = link.path.split("/").at(-1)!;
    expect((await files.follow(former.path)).status).toBe(404);
    expect((await files.follow(link.path)).status).toBe(200);
    const [row] = await running.db.sql<{ text: string; hash: Buffer }[]>`select e::text as text, link_hash as hash from usage_exports e`;
    expect(row!.hash).toEqual(hashOfToken(token));
    for (const form of [token, Buffer.from(token, "base64url").toString("hex")]) expect(row!.text).not.toContain(form);
    await running.db.sql`update usage_exports set link_ends_at = now() - interval '1 second'`;
    expect((await files.follow(link.path)).status).toBe(404);
  });

  test("answers the same 404 to a wrong token, another file's, one of no form and one of no file", async () => {
    const person = await personWith(1);
    const [first, second] = [await files.ask(person), await files.ask(person, { status: "2xx" })];
    await files.build();
    const [path, other] = [(await files.link(person, first.id)).path, (await files.link(person, second.id)).path];
    const swapped = `/v1/usage/exports/${first.id}/${other.split("/").at(-1)}`;
    const answers: string[] = [];
    for (const wrong of [swapped, `${path.slice(0, -1)}${path.endsWith("A") ? "B" : "A"}`, path.replace(first.id, person.ids[0]!), path.replace(first.id, "x")]) {
      const response = await files.follow(wrong);
      answers.push(`${response.status} ${await response.text()}`);
    }
    expect(answers[0]).toMatch(/^404 .*"not_found"/);
    expect(new Set(answers).size).toBe(1);
    expect((await files.follow(`${path}A`)).status).toBe(404);
  });
});

describe("asking for files", () => {
  test("is bounded: the same is one, four are all, and then 429 (keep.usage)", async () => {
    const person = await personWith(1);
    const [one, same] = [await files.ask(person, { status: "2xx" }), await files.ask(person, { status: "2xx" })];
    expect(same.id).toBe(one.id);
    const post = (body: string) => running.ask(person, "/v1/usage/exports", { method: "POST", headers: { authorization: `Bearer ${person.key}` }, body });
    for (const status of ["4xx", "5xx"]) await files.ask(person, { status });
    const answers = await Promise.all(["a", "b", "c"].map((name, index) => post(JSON.stringify({ from: day(-1 - index) }))));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 429, 429]);
    expect((await files.list(person)).data).toHaveLength(4);
    // It does not wait any more, and counts as long as it is kept.
    await files.build();
    expect(await refused(await post(JSON.stringify({ status: "2xx" })))).toMatchObject({ status: 429, retryAfter: "86400" });
    expect((await files.ask(await personWith(1))).status).toBe("queued");
  });

  test.each([
    ["{", null],
    ["[]", ""],
    ['{"from": "yesterday"}', "from"],
    ['{"from": "2026-02-02", "to": "2026-02-01"}', "from"],
    ['{"model": "no-such-model"}', "model"],
    ['{"model": "=1+1"}', "model"],
    ['{"status": "200"}', "status"],
    ['{"cursor": "x"}', null],
    ['{"account_id": "x"}', null],
  ])("refuses the body %s and says which field is wrong", async (body, param) => {
    const person = await personWith(1);
    const response = await running.ask(person, "/v1/usage/exports", { method: "POST", headers: { authorization: `Bearer ${person.key}` }, body });
    expect(await refused(response)).toMatchObject({ status: 400, param });
    expect(await running.db.sql`select from usage_exports where account_id = ${person.accountId}`).toEqual([]);
  });

  test("shows nobody another account's, and answers the same 404 to its id, an unknown and a malformed one (right.export)", async () => {
    const [person, other] = [await personWith(1), await personWith(1)];
    const { id } = await files.ask(other);
    await files.build();
    expect((await files.list(person)).data).toEqual([]);
    for (const [method, behind] of [["GET", ""], ["POST", "/link"], ["GET", "/receipt"]] as const) {
      const answers = await Promise.all(
        [id, person.ids[0]!, "x", "00000000-0000-0000-0000-000000000000"].map(async (asked) => {
          const response = await running.ask(person, `/v1/usage/exports/${asked}${behind}`, { method, headers: { authorization: `Bearer ${person.key}` } });
          return `${response.status} ${await response.text()}`;
        }),
      );
      expect(answers[0]).toMatch(/^404 .*"not_found"/);
      expect(new Set(answers).size).toBe(1);
      expect((await running.ask(other, `/v1/usage/exports/${id}${behind}`, { method, headers: { authorization: `Bearer ${other.key}` } })).status).toBe(200);
    }
  });

  test("takes a key with the scope usage, and the methods that there are", async () => {
    const person = await personWith(1);
    const { id } = await files.ask(person);
    await running.db.sql`update api_keys set scopes = array['chat'] where id = ${person.keyId}`;
    for (const path of ["", `/${id}`, `/${id}/receipt`]) {
      expect(await refused(await running.ask(person, `/v1/usage/exports${path}`))).toMatchObject({ status: 403 });
      expect((await fetch(`${running.url}/v1/usage/exports${path}`)).status).toBe(401);
    }
    expect((await running.ask(person, `/v1/usage/exports/${id}`, { method: "DELETE" })).headers.get("allow")).toBe("GET, OPTIONS");
    expect((await running.ask(person, `/v1/usage/exports/${id}/more/of/it`)).status).toBe(404);
    const preflight = await fetch(`${running.url}/v1/usage/exports`, { method: "OPTIONS" });
    expect(preflight.headers.get("access-control-allow-methods")).toBe("GET, POST, OPTIONS");
  });
});
