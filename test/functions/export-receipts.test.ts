import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import { uuidv7 } from "#shared/ids.ts";
import { createReceiptSigner, openReceipt, type ReceiptKey } from "#shared/receipts.ts";
import { configShape } from "../../functions/export/config.ts";
import { pageRows } from "../../functions/export/queries.ts";
import { firstDayMs, refused, startExport, type Handler, type Person, type TestExport } from "../support/export.ts";
import { verifyReceipt, type Given } from "../support/verify-receipt.ts";
import { waitFor } from "../support/wait.ts";

const signedAtMs = Date.UTC(2026, 5, 1, 12);
const clock = { wallMs: () => signedAtMs, monotonicMs: () => 0 };
const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
const keysPath = "/.well-known/epithre-receipt-keys.json";

let running: TestExport;
let handler: Handler;

beforeAll(async () => {
  running = await startExport();
  handler = running.handlerWith({ signer, clock });
});
afterAll(() => running.close());

/** Answers of the handler, without the network between. */
function get(person: Pick<Person, "key">, path: string, { by = handler, signal }: { by?: Handler; signal?: AbortSignal } = {}): Promise<Response> {
  return by(new Request(`http://export${path}`, { headers: { authorization: `Bearer ${person.key}` }, signal }));
}

const json = async (response: Response | Promise<Response>) => (await (await response).json()) as Record<string, unknown>;
const keySet = (by = handler) => json(by(new Request(`http://export${keysPath}`)));

/** Where the answer says that its receipt is. */
const linkOf = (response: Response) => /^<([^>]+)>; rel="describedby"; type="application\/json"$/.exec(response.headers.get("link")!)![1]!;

async function person(events: number): Promise<Person & { ids: string[] }> {
  const someone = await running.newPerson();
  return { ...someone, ids: await running.addUsage(someone, Array.from({ length: events }, (_, index) => firstDayMs + index)) };
}

async function verdict(given: Omit<Given, "keys">) {
  const { code, output } = await verifyReceipt({ ...given, keys: await keySet() });
  return { code, output };
}

describe("GET /v1/usage/{request_id}", () => {
  test("answers what is kept of the request by the names of the CSV, and its signature (right.export, keep.usage)", async () => {
    const { ids, keyId, key } = await person(2);
    const response = await get({ key }, `/v1/usage/${ids[1]}`);
    const { receipt, ...shown } = await json(response);
    expect(shown).toEqual({
      object: "usage.event", time: new Date(firstDayMs + 1).toISOString(), request_id: ids[1], key_id: keyId, model: "test-chat",
      endpoint: "chat.completions", status: 200, prompt_tokens: 12, cached_tokens: 3, completion_tokens: 34, reasoning_tokens: 5,
      images: 0, cost_rupiah: "12.000002", latency_ms: 56, price_version: 7, signed_at: "2026-06-01T12:00:00.000Z",
    });
    expect(openReceipt(receipt as string, [signer.key])).toEqual({ type: "epithre-usage-receipt-v1", keyId: signer.key.kid, statement: shown });
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await verdict({ receipt: { ...shown, receipt } })).toMatchObject({ code: 0 });
  });

  test("finds one's own id in capitals too", async () => {
    const { ids, key } = await person(1);
    expect(await json(get({ key }, `/v1/usage/${ids[0]!.toUpperCase()}`))).toMatchObject({ request_id: ids[0] });
  });

  test("answers the same 404 to another account's id, an unknown and a malformed one", async () => {
    const [{ key }, other] = [await person(1), await person(1)];
    expect((await get(other, `/v1/usage/${other.ids[0]}`)).status).toBe(200);
    const ids = [other.ids[0]!, uuidv7(firstDayMs), "", "x", "%00", `${other.ids[0]}/`, `x/${other.ids[0]}`, "00000000-0000-0000-0000-000000000000", "x".repeat(5_000)];
    const answers = await Promise.all(
      ids.map(async (id) => {
        const response = await get({ key }, `/v1/usage/${id}`);
        return { status: response.status, headers: [...response.headers], body: await response.text() };
      }),
    );
    expect(answers[0]!.status).toBe(404);
    expect(JSON.parse(answers[0]!.body)).toMatchObject({ error: { code: "not_found" } });
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });

  test("answers a few look-ups of an account at once, and refuses more with retry-after", async () => {
    const { ids, key } = await person(1);
    const begun: (() => void)[] = [];
    const slow: DatabasePool = { ...running.pool, run: (query) => new Promise<void>((resolve) => void begun.push(resolve)).then(() => running.pool.run(query)) };
    const by = running.handlerWith({ database: slow });
    const answers = Array.from({ length: 9 }, () => get({ key }, `/v1/usage/${ids[0]}`, { by }));
    expect(await refused(await Promise.race(answers))).toMatchObject({ status: 429, code: "rate_limit_exceeded", retryAfter: "5" });
    await waitFor("the others to wait", () => begun.length === 8);
    for (const go of begun) go();
    expect((await Promise.all(answers)).map(({ status }) => status).sort()).toEqual([...Array<number>(8).fill(200), 429]);
    begun.length = 0;
    const next = get({ key }, `/v1/usage/${ids[0]}`, { by });
    await waitFor("the next to ask", () => begun.length === 1);
    begun[0]!();
    expect((await next).status).toBe(200);
  });
});

describe("GET /v1/usage.csv.receipt", () => {
  test("answers a signed statement about the file, which says where it is, and the script finds both valid (right.export)", async () => {
    const { accountId, ids, key } = await person(2 * pageRows + 3);
    const file = await get({ key }, "/v1/usage.csv");
    const csv = await file.text();
    const { receipt, ...shown } = await json(get({ key }, linkOf(file)));
    expect(shown).toEqual({
      object: "usage.export", account_id: accountId, from: null, to: null, model: null, key_id: null, endpoint: null,
      status: null, cursor: null, through: null,
      columns: csv.slice(0, csv.indexOf("\r\n")), rows: ids.length, first_request_id: ids[0], last_request_id: ids.at(-1),
      root: expect.stringMatching(/^[0-9a-f]{64}$/), signed_at: "2026-06-01T12:00:00.000Z",
    });
    expect(openReceipt(receipt as string, [signer.key])).toMatchObject({ type: "epithre-export-receipt-v1", statement: shown });
    const given = { receipt: { ...shown, receipt }, csv };
    expect(await verdict(given)).toMatchObject({ code: 0, output: expect.stringContaining(`all ${ids.length} rows, from ${ids[0]} to ${ids.at(-1)}`) });
    expect(await verdict({ ...given, csv: csv.replace("12.000700", "11.000700") })).toMatchObject({ code: 1 });
  });

  test("keeps to the range of the file, and to its last record when calls ended since", async () => {
    const someone = await person(5);
    const { ids, key } = someone;
    const day = new Date(firstDayMs).toISOString().slice(0, 10);
    const file = await get({ key }, `/v1/usage.csv?from=${day}&to=${day}&cursor=${ids[1]}`);
    const csv = await file.text();
    await running.addUsage(someone, [firstDayMs + 100]);
    expect(await verdict({ receipt: await json(get({ key }, linkOf(file))), csv })).toMatchObject({ code: 1, output: expect.stringContaining("it has 3 rows, 4 were signed") });
    const receipt = await json(get({ key }, `${linkOf(file)}&through=${ids[4]}`));
    expect(receipt).toMatchObject({ from: day, to: day, cursor: ids[1], through: ids[4], rows: 3, first_request_id: ids[2], last_request_id: ids[4] });
    expect(await verdict({ receipt, csv })).toMatchObject({ code: 0 });
  });

  test("says by its number of rows that one was settled late or has gone since the file was read", async () => {
    const someone = await person(4);
    const { ids, key } = someone;
    const csv = await (await get(someone, "/v1/usage.csv")).text();
    const receipt = () => json(get({ key }, `/v1/usage.csv.receipt?through=${ids[3]}`));
    await running.addUsage(someone, [firstDayMs + 1]);
    expect(await verdict({ receipt: await receipt(), csv })).toMatchObject({ code: 1, output: expect.stringContaining("it has 4 rows, 5 were signed") });
    await running.db.sql`delete from usage_events where id = any (${ids.slice(0, 2)}::uuid[])`;
    expect(await verdict({ receipt: await receipt(), csv })).toMatchObject({ code: 1, output: expect.stringContaining("it has 4 rows, 3 were signed") });
  });

  test("proves one row, which the script finds valid alone", async () => {
    const { ids, key } = await person(pageRows + 7);
    const csv = await (await get({ key }, "/v1/usage.csv")).text();
    const records = csv.split("\r\n");
    for (const index of [0, 1, pageRows - 1, pageRows, pageRows + 6]) {
      const receipt = await json(get({ key }, `/v1/usage.csv.receipt?row=${ids[index]!.toUpperCase()}`));
      expect(receipt.row).toMatchObject({ index, record: records[index + 1] });
      expect(await verdict({ receipt, csv: `${records[index + 1]}\r\n`, row: ids[index] })).toMatchObject({ code: 0 });
    }
    expect(await json(get({ key }, "/v1/usage.csv.receipt"))).not.toHaveProperty("row");
  });

  test("answers the same 404 to a row of another account, an unknown one and one out of range", async () => {
    const [{ ids, key }, other] = [await person(2), await person(1)];
    const answers: string[] = [];
    for (const query of [`row=${other.ids[0]}`, `row=${uuidv7(firstDayMs)}`, `row=${ids[1]}&through=${ids[0]}`]) {
      answers.push(await (await get({ key }, `/v1/usage.csv.receipt?${query}`)).text());
    }
    for (const answer of answers) expect(JSON.parse(answer)).toMatchObject({ error: { code: "not_found", param: "row" } });
    expect(new Set(answers).size).toBe(1);
  });

  test("says of no rows whose they are not: the account, and the root of an empty tree", async () => {
    const { accountId, key } = await person(0);
    const receipt = await json(get({ key }, "/v1/usage.csv.receipt"));
    expect(receipt).toMatchObject({
      account_id: accountId, rows: 0, first_request_id: null, last_request_id: null,
      root: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    });
    expect(await verdict({ receipt, csv: await (await get({ key }, "/v1/usage.csv")).text() })).toMatchObject({ code: 0 });
  });

  test.each([["?through=1", "through"], ["?row=x", "row"], ["?from=x", "from"], ["?rows=1", null]])("refuses %s and names the parameter", async (query, param) => {
    expect(await refused(await get(await running.newPerson(), `/v1/usage.csv.receipt${query}`))).toMatchObject({ status: 400, param });
  });

  test("has a place among the exports, and gives it back when it is done, when it fails and when its caller leaves", async () => {
    const { key } = await person(2 * pageRows);
    const path = "/v1/usage.csv.receipt";
    let onRead = () => {};
    const by = running.handlerWith({ database: { ...running.pool, run: async (query) => (onRead(), running.pool.run(query)) } });
    const atOnce = await Promise.all([1, 2, 3].map(() => get({ key }, path, { by })));
    expect(atOnce.map(({ status }) => status).sort()).toEqual([200, 200, 429]);

    onRead = () => {
      throw new EpithreError("unavailable", "gone");
    };
    for (let again = 0; again < 3; again += 1) expect((await get({ key }, path, { by })).status).toBe(503);

    let pagesRead = 0;
    for (let again = 0; again < 3; again += 1) {
      const leaving = new AbortController();
      onRead = () => {
        pagesRead += 1;
        leaving.abort();
      };
      await get({ key }, path, { by, signal: leaving.signal });
    }
    expect(pagesRead).toBe(3);
    onRead = () => {};
    expect((await get({ key }, path, { by })).status).toBe(200);
  });

  test("signs 200,000 rows in the memory that 20,000 take", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const { ids, key } = await person(200_000);
    const bytesUsed: number[] = [];
    const database: DatabasePool = {
      ...running.pool,
      run(query) {
        if (bytesUsed.push(0) % 4 === 0) {
          collect();
          const { heapUsed, external } = process.memoryUsage();
          bytesUsed[bytesUsed.length - 1] = heapUsed + external;
        }
        return running.pool.run(query);
      },
    };
    const by = running.handlerWith({ database, signer });
    const receipt = await json(get({ key }, `/v1/usage.csv.receipt?row=${ids[123_456]}`, { by }));
    expect(receipt).toMatchObject({ rows: 200_000, row: { index: 123_456 } });
    const measured = bytesUsed.filter((bytes) => bytes > 0);
    expect(measured.length).toBeGreaterThanOrEqual(20);
    // A hash for each row would be 6.4 MB, a record 30 MB.
    expect(Math.max(...measured.slice(2)) - measured[1]!).toBeLessThan(3_000_000);

    const csv = await (await get({ key }, "/v1/usage.csv")).text();
    delete receipt.row;
    expect(await verdict({ receipt, csv })).toMatchObject({ code: 0, output: expect.stringContaining("all 200000 rows") });
  }, 120_000);
});

describe("GET /.well-known/epithre-receipt-keys.json", () => {
  test("answers the signing key and those beside it to anyone, each once, and no private part (sec.key)", async () => {
    const [old, next] = [makeReceiptKey(), makeReceiptKey()].map((pem) => createReceiptSigner(createPrivateKey(pem)).key) as [ReceiptKey, ReceiptKey];
    const by = running.handlerWith({ signer, otherKeys: [old, signer.key, next] });
    const response = await by(new Request(`http://export${keysPath}`));
    expect([response.status, response.headers.get("content-type"), response.headers.get("access-control-allow-origin")]).toEqual([200, "application/jwk-set+json", "*"]);
    expect(response.headers.get("cache-control")).toBe("public, max-age=300");
    expect(await response.json()).toEqual({ keys: [signer.key, old, next] });
  });

  test("lets receipts of before a change of keys verify after it, by whoever fetches the keys then", async () => {
    const { ids, key } = await person(1);
    const before = await json(get({ key }, `/v1/usage/${ids[0]}`));
    const newSigner = createReceiptSigner(createPrivateKey(makeReceiptKey()));
    const changed = running.handlerWith({ signer: newSigner, otherKeys: [signer.key] });
    const after = await json(get({ key }, `/v1/usage/${ids[0]}`, { by: changed }));
    const keys = await keySet(changed);
    expect((await verifyReceipt({ receipt: before, keys })).output).toContain(`with key ${signer.key.kid}`);
    expect((await verifyReceipt({ receipt: after, keys })).output).toContain(`with key ${newSigner.key.kid}`);
    expect(await verifyReceipt({ receipt: after, keys: await keySet() })).toMatchObject({ code: 1 });
  });
});

describe.each(["/v1/usage.csv.receipt", "/v1/usage/00000000-0000-7000-8000-000000000000"])("%s", (path) => {
  test("takes a key with the scope usage, GET and OPTIONS, and answers browsers from anywhere", async () => {
    const someone = await running.newPerson();
    expect(await refused(await fetch(running.url + path))).toMatchObject({ status: 401, code: "missing_api_key" });
    await running.db.sql`update api_keys set scopes = array['chat'] where id = ${someone.keyId}`;
    expect(await refused(await running.ask(someone, path))).toMatchObject({ status: 403, code: "insufficient_permissions" });
    const posted = await running.ask(someone, path, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
    const preflight = await running.ask(someone, path, { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
    expect(preflight.headers.get("access-control-expose-headers")).toContain("link");
  });

  test("answers 503 with retry-after while the database is away", async () => {
    const away = createDatabasePool({ url: "postgres://nobody:nothing@127.0.0.1:1/none", log: () => {} });
    const response = await get(await running.newPerson(), path, { by: running.handlerWith({ database: away }) });
    expect(await refused(response)).toMatchObject({ status: 503, code: "service_unavailable", retryAfter: "1" });
    await away.close();
  });
});

describe("the configuration of export", () => {
  const pem = { type: "pkcs8", format: "pem" } as const;
  const problem = ({ schema }: (typeof configShape)["privateKey" | "otherKeys"], value: unknown) => schema.safeParse(value).error?.issues[0]?.message;

  test("takes an Ed25519 private key in PEM, and refuses anything else without quoting it", () => {
    expect(problem(configShape.privateKey, makeReceiptKey().trim())).toBeUndefined();
    const others = [
      "a secret of some length",
      generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export(pem),
      generateKeyPairSync("x25519").privateKey.export(pem),
      createPublicKey(makeReceiptKey()).export({ type: "spki", format: "pem" }),
    ];
    for (const other of others) expect(problem(configShape.privateKey, other)).toBe("is not an Ed25519 private key in PEM; make one by `npm run receipt-key`");
  });

  test("takes public keys as they are published, and computes their ids itself", () => {
    const published = [{ ...signer.key, kid: "made up" }];
    expect(configShape.otherKeys.schema.parse(JSON.stringify(published))).toEqual([signer.key]);
    const wrong = [[{ ...signer.key, x: signer.key.x.slice(1) }], [{ ...signer.key, crv: "X25519" }], [{}], {}, Array<ReceiptKey>(33).fill(signer.key)];
    for (const keys of wrong) expect([keys, problem(configShape.otherKeys, JSON.stringify(keys))]).toEqual([keys, expect.any(String)]);
  });
});
