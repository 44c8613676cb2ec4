/**
 * S3-compatible storage that is not ours: what a file of the usage log needs of it, and one built in it by the whole
 * product, which is killed in the middle. Run by test/system/run, which starts the storage; its address is in EPITHRE_OBJECT_STORE.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { readOptions } from "#infra/local/options.ts";
import { check, readKeySet } from "#infra/receipts/check.ts";
import { recordsOf } from "#infra/receipts/csv-file.ts";
import { createObjectStore, createS3Client, objectStoreShape } from "#shared/object-store.ts";
import { fillUsage } from "../../bench/export-rows.ts";
import { contract } from "../../support/object-store-contract.ts";
import { type OwnedStack, startStack } from "../../support/stack.ts";
import { waitFor } from "../../support/wait.ts";

const address = process.env.EPITHRE_OBJECT_STORE!;
const { url, bucket, login } = readOptions(["--object-store", address], "/").objectStore!;
const client = createS3Client({ url, region: "us-east-1", login: objectStoreShape.objectStoreLogin.schema.parse(login) });

describe("storage that is not ours", () => {
  const store = createObjectStore(client, bucket, "contract/");
  for (const [shows, show] of Object.entries(contract)) it(shows, () => show(store));
});

describe("a file of the usage log in it", () => {
  /** Enough for some parts of the size that real storage takes. */
  const rows = 200_000;
  const store = createObjectStore(client, bucket, "usage-exports/");
  let stack: OwnedStack;
  let headers: Record<string, string>;
  let id: string;

  before(async () => {
    stack = await startStack({ args: ["--object-store", address] });
    const { accountId } = await fillUsage(stack.sql, rows);
    const { key } = await stack.operator.createKey(accountId, { scopes: ["usage"] });
    headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  });
  after(async () => {
    client.destroy();
    await stack.stop();
  });

  const exportOrigin = () => `http://127.0.0.1:${stack.environmentOf("export").PORT}`;
  const runSchedule = () => fetch(`${exportOrigin()}/`, { method: "POST" }).then((response) => response.text(), () => "");
  const rowOf = async () => (await stack.sql`select state, cardinality(etags) as parts, restarts, records from usage_exports where id = ${id}`)[0]!;

  it("is built in parts, goes on after kill -9 where it was, and is the same as the CSV, signed", async () => {
    const asked = await fetch(`${stack.url}/v1/usage/exports`, { method: "POST", headers, body: "{}" });
    assert.equal(asked.status, 202);
    id = ((await asked.json()) as { id: string }).id;
    const killed = runSchedule();
    await waitFor("a first part", async () => (await rowOf()).parts > 0);
    const pid = stack.pidOf("export")!;
    process.kill(pid, "SIGKILL");
    await killed;
    const before = await rowOf();
    assert.equal(before.state, "building");
    await waitFor("export to be back", async () => {
      const now = stack.pidOf("export");
      return now !== undefined && now !== pid && (await fetch(`${exportOrigin()}/_/ready`).then(({ ok }) => ok, () => false));
    });
    await waitFor("the file", async () => (await runSchedule()) !== "" && (await rowOf()).state === "ready", 60_000);
    const row = await rowOf();
    assert.deepEqual({ restarts: row.restarts, records: row.records }, { restarts: 0, records: BigInt(rows) });
    assert.ok(row.parts > before.parts, `${row.parts} parts, ${before.parts} before it was killed`);

    const link = (await (await fetch(`${stack.url}/v1/usage/exports/${id}/link`, { method: "POST", headers })).json()) as { path: string };
    const file = Buffer.from(await (await fetch(stack.url + link.path)).arrayBuffer());
    const csv = Buffer.from(await (await fetch(`${stack.url}/v1/usage.csv`, { headers })).arrayBuffer());
    assert.equal(createHash("sha256").update(file).digest("hex"), createHash("sha256").update(csv).digest("hex"));
    const receipt: unknown = await (await fetch(`${stack.url}/v1/usage/exports/${id}/receipt`, { headers })).json();
    const keys = readKeySet(await (await fetch(`${stack.url}/.well-known/epithre-receipt-keys.json`)).json());
    assert.match(await check({ receipt, keys, records: recordsOf(oneChunk(file)) }), new RegExp(`^all ${rows} rows`));
  });

  it("is handed out by nobody else, and gone with its row", async () => {
    assert.deepEqual(await store.keysAfter(undefined), [id]);
    assert.equal((await fetch(`${url}/${bucket}/usage-exports/${id}`)).status, 403);
    await stack.sql`update usage_exports set created_at = now() - interval '24 hours'`;
    await runSchedule();
    assert.deepEqual(await store.keysAfter(undefined), []);
    assert.deepEqual(await store.uploads(), []);
  });
});

async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
